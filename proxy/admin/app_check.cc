#include "proxy/admin/app_check.h"

#include <algorithm>
#include <utility>

namespace outrigger::admin {
namespace {

constexpr absl::Duration kIntervalBeforeFirstSuccess = absl::Milliseconds(500);

std::optional<CheckQuestion> QuestionOf(const AppCheckConfig& config, const CheckTarget& target) {
  if (config.path.empty() && !config.grpc_service.has_value()) return std::nullopt;
  return CheckQuestion{.path = config.path,
                       .authority = target.authority(),
                       .is_http2 = config.is_http2,
                       .grpc_service = config.grpc_service};
}

}  // namespace

AppChecker::AppChecker(Loop& loop, AppCheckConfig config, std::shared_ptr<AppHealth> health,
                       OnChange on_change, OnInference on_inference)
    : loop_(loop),
      config_(std::move(config)),
      target_{.endpoint = config_.endpoint, .tls = config_.tls, .tls_host = config_.tls_host},
      health_(std::move(health)),
      on_change_(std::move(on_change)),
      on_inference_(std::move(on_inference)),
      timer_(loop.NewTimer(OnTimer, this)),
      dns_(loop),
      period_start_(PreciseNow()) {
  // Not from here: the caller has not stored us yet.
  const timeval now = ToDelay(absl::ZeroDuration());
  evtimer_add(timer_.get(), &now);
}

void AppChecker::OnTimer(evutil_socket_t, short, void* self) {
  auto& checker = *static_cast<AppChecker*>(self);
  // Armed first: a check that outlasts the interval must not be the last one.
  const absl::Duration interval =
      checker.health_->has_ever_succeeded()
          ? checker.config_.interval
          : std::min(checker.config_.interval, kIntervalBeforeFirstSuccess);
  const timeval next = ToDelay(interval);
  evtimer_add(checker.timer_.get(), &next);
  checker.CheckNow();
}

void AppChecker::CheckNow() {
  if (check_ != nullptr && check_->is_running()) return;
  check_ = std::make_unique<CheckAttempt>(
      loop_, dns_, target_, QuestionOf(config_, target_), config_.timeout,
      [this](CheckResult result) { OnChecked(std::move(result)); });
  check_->Start();
}

void AppChecker::OnChecked(CheckResult result) {
  const MonoTime period_start = std::exchange(period_start_, PreciseNow());
  const bool is_upstream_alive =
      config_.last_upstream_byte && config_.last_upstream_byte() >= period_start;
  const bool has_passed = result.outcome == CheckOutcome::kSuccess;
  Report(health_->Record(std::move(result), is_upstream_alive));
  if (!health_->is_up()) {
    inference_ = nullptr;
    last_inference_detail_.reset();
  } else if (has_passed && health_->awaits_inference()) {
    InferNow();
  }
}

void AppChecker::InferNow() {
  if (inference_ != nullptr && inference_->is_running()) return;
  const InferenceProbe& probe = *config_.inference;
  CheckQuestion question{.path = probe.path,
                         .authority = target_.authority(),
                         .is_http2 = config_.is_http2,
                         .wants_whole_answer = true,
                         .method = probe.method,
                         .content_type = probe.content_type,
                         .body = probe.body,
                         .extra_fields = probe.fields};
  inference_ =
      std::make_unique<CheckAttempt>(loop_, dns_, target_, std::move(question), probe.timeout,
                                     [this](const CheckResult& result) { OnInferred(result); });
  inference_->Start();
}

void AppChecker::OnInferred(const CheckResult& result) {
  const bool has_changed = health_->RecordInference(result);
  if (last_inference_detail_ != result.detail) {
    last_inference_detail_ = result.detail;
    if (on_inference_) on_inference_(*health_, result);
  }
  Report(has_changed);
}

}  // namespace outrigger::admin
