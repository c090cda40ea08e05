#include "filters/breaker/prober.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "filters/common/outcome.h"
#include "fmt/format.h"
#include "proxy/coro/abortable.h"
#include "proxy/event/abort_timer.h"

namespace outrigger::breaker {

using http::ChunkResult;
using http::Request;
using http::Result;

namespace {

// What is read of an answer so that its connection can be kept; of a longer one it is given up.
constexpr size_t kMaxBodyBytes = 64 << 10;

enum class Verdict { kGood, kBad, kNone };

}  // namespace

class Probers::Prober {
 public:
  Prober(Probers& owner, std::shared_ptr<Breaker> breaker, const Policy& policy,
         std::unique_ptr<chain::Filter> service)
      : owner_(owner),
        breaker_(std::move(breaker)),
        policy_(policy.probe),
        // Twice at least before the shortest open time, which jitter makes of `open_for`, is over.
        look_again_(std::clamp(policy.open_for / 3, absl::Milliseconds(5), absl::Seconds(1))),
        service_(std::move(service)),
        counters_(owner.standard_metrics_.Breaker(breaker_->id())) {}

  const Breaker* breaker() const { return breaker_.get(); }
  Task<void> Run();

 private:
  absl::Duration UntilProbe();
  void Describe(Request& request);
  Task<Verdict> Probe();
  Task<Verdict> Exchange(Request& request);
  void Record(Permit permit, Verdict verdict);

  Probers& owner_;
  const std::shared_ptr<Breaker> breaker_;
  const ProbePolicy policy_;
  const absl::Duration look_again_;
  const std::unique_ptr<chain::Filter> service_;
  metrics::BreakerMetrics& counters_;
};

absl::Duration Probers::Prober::UntilProbe() {
  const Snapshot snapshot = breaker_->TakeSnapshot(owner_.loop_.Now());
  switch (snapshot.state) {
    case State::kClosed:
      return look_again_;
    case State::kHalfOpen:
      return snapshot.probe_under_way ? look_again_ : absl::ZeroDuration();
    case State::kOpen:
      break;
  }
  // Forced open there always is a wait.
  return std::min(snapshot.until_probe, look_again_);
}

Task<void> Probers::Prober::Run() {
  Loop& loop = owner_.loop_;
  for (;;) {
    const absl::Duration wait = UntilProbe();
    if (wait > absl::ZeroDuration()) {
      co_await loop.Sleep(wait);
      continue;
    }
    Expected<Permit, Rejection> permit = breaker_->TryAcquireProbe(loop.Now());
    if (!permit.ok()) {
      co_await loop.Sleep(look_again_);
      continue;
    }
    const Verdict verdict = co_await Probe();
    Record(std::move(permit).value(), verdict);
    if (verdict == Verdict::kNone) co_await loop.Sleep(look_again_);
  }
}

// A permit without a verdict gives its place back.
void Probers::Prober::Record(Permit permit, Verdict verdict) {
  if (verdict == Verdict::kNone) return;
  const bool is_good = verdict == Verdict::kGood;
  owner_.metrics_.Increment(counters_.probes.At(is_good ? metrics::ProbeResult::kSucceeded
                                                        : metrics::ProbeResult::kFailed));
  permit.Record(is_good ? Outcome::kSuccess : Outcome::kFailure, false, owner_.loop_.Now());
}

void Probers::Prober::Describe(Request& request) {
  Arena& arena = *request.arena;
  request.method = http::Method::kGet;
  request.method_name = "GET";
  request.target = request.path = policy_.path;
  request.headers.Add("User-Agent", "outrigger-breaker-probe");
  request.headers.Add("Accept", "*/*");
  request.effects = http::Effects::kNone;
  request.tenant = "anonymous";
  request.received = owner_.loop_.PreciseNow();
  request.deadline = owner_.loop_.Now() + policy_.timeout;
  Random& random = owner_.random_;
  const uint64_t high = random.Next();
  const uint64_t low = random.Next() | 1;  // a trace of zeros would be none
  const uint64_t span = random.Next() | 1;
  request.traceparent = arena.Copy(fmt::format("00-{:016x}{:016x}-{:016x}-00", high, low, span));
  request.trace_id = request.traceparent.substr(3, 32);
  request.id = request.trace_id;
}

Task<Verdict> Probers::Prober::Probe() {
  Arena arena;
  Request request;
  request.arena = &arena;
  Describe(request);
  Abortable<Verdict> exchange(Exchange(request));
  AbortTimer timeout(owner_.loop_, exchange);
  timeout.Arm(request.deadline);
  const std::optional<Verdict> verdict = co_await exchange;
  if (!verdict.has_value()) {
    owner_.log_.Debug("breaker_probe").Str("breaker", breaker_->id()).Str("problem", "timeout");
  }
  co_return verdict.value_or(Verdict::kBad);
}

Task<Verdict> Probers::Prober::Exchange(Request& request) {
  Result result = co_await service_->Call(request, chain::Next(nullptr));
  if (!result.ok()) {
    const common::Event event = common::ClassifyFailure(result.error());
    owner_.log_.Debug("breaker_probe")
        .Str("breaker", breaker_->id())
        .Str("problem", ReasonName(result.error().reason));
    const bool is_verdict =
        Decide(event, request.effects).breaker == common::BreakerClass::kFailure;
    co_return is_verdict ? Verdict::kBad : Verdict::kNone;
  }
  owner_.log_.Debug("breaker_probe").Str("breaker", breaker_->id()).Int("status", result->status);
  if (result->status < 200 || result->status >= 400) co_return Verdict::kBad;
  size_t read = 0;
  while (result->has_body && read < kMaxBodyBytes) {
    ChunkResult chunk = co_await result->body->Read();
    if (!chunk.ok()) co_return Verdict::kBad;
    if (chunk->is_last) break;
    read += chunk->data.size();
  }
  co_return Verdict::kGood;
}

Probers::Probers(Loop& loop, Random& random, log::Logger& log, metrics::WorkerMetrics& metrics,
                 metrics::StandardMetrics& standard_metrics)
    : loop_(loop),
      random_(random),
      log_(log),
      metrics_(metrics),
      standard_metrics_(standard_metrics),
      scope_(loop, "breaker_probes") {}

Probers::~Probers() = default;

void Probers::Stop() {
  scope_.CancelAll();
  probers_.clear();
}

void Probers::Add(std::shared_ptr<Breaker> breaker, const Policy& policy,
                  std::unique_ptr<chain::Filter> service) {
  for (const std::unique_ptr<Prober>& prober : probers_) {
    if (prober->breaker() == breaker.get()) return;
  }
  probers_.push_back(
      std::make_unique<Prober>(*this, std::move(breaker), policy, std::move(service)));
  scope_.Spawn(probers_.back()->Run());
}

}  // namespace outrigger::breaker
