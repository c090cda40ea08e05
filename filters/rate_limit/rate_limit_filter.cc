#include "filters/rate_limit/rate_limit_filter.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "proxy/base/pooled.h"
#include "proxy/grpc/status.h"

namespace outrigger::rate_limit {

using http::Failure;
using http::Request;
using http::Result;

namespace {

using BoundRules = std::vector<RateLimitFilter::BoundRule>;

BoundRules Select(const BoundRules& rules, Mode mode) {
  BoundRules selected;
  for (const RateLimitFilter::BoundRule& bound : rules) {
    if (bound.rule.mode == mode) selected.push_back(bound);
  }
  return selected;
}

// By the service, as one whose credential is not good (B0.2).
bool IsTurnedAway(const http::Response& response) {
  const bool has_call_status = response.grpc != nullptr && response.grpc->status.has_value();
  const int status =
      has_call_status ? grpc::HttpStatusOf(*response.grpc->status) : response.status;
  return status == 401 || status == 403;
}

std::vector<const Rule*> RulesOf(const BoundRules& bound_rules) {
  std::vector<const Rule*> rules;
  for (const RateLimitFilter::BoundRule& bound : bound_rules) rules.push_back(&bound.rule);
  return rules;
}

}  // namespace

// What a request has paid. Lives in the filter's frame, so that a request that is cancelled while
// it waits gets its charges back as well.
class RateLimitFilter::Charges {
 public:
  Charges(const Loop& loop, const Request& request) : loop_(loop), request_(request) {}
  Charges(const Charges&) = delete;
  Charges& operator=(const Charges&) = delete;
  ~Charges() {
    if (!request_.was_dispatched) Refund();
  }

  void Add(LimiterTable& table, const Receipt& receipt) { paid_.push_back({&table, receipt}); }
  // Its tenant's bucket is `key`. Without a receipt it has paid nothing in advance.
  void AddNewcomer(const BoundRule& bound, uint64_t key, const std::optional<Receipt>& receipt) {
    newcomers_.push_back({&bound, key, receipt});
  }
  bool is_newcomer() const { return !newcomers_.empty(); }

  // The service has answered: it knows the tenant, or has turned it away.
  void Settle(bool is_turned_away) {
    const MonoTime now = loop_.Now();
    for (const Newcomer& newcomer : newcomers_) {
      LimiterTable& unverified = *newcomer.bound->unverified;
      if (is_turned_away) {
        if (!newcomer.receipt.has_value()) (void)unverified.AcquireShared(1, now);
        continue;
      }
      newcomer.bound->table->SetVerified(newcomer.key);
      if (newcomer.receipt.has_value()) unverified.Refund(*newcomer.receipt, now);
    }
    newcomers_.clear();
  }
  // In reverse, as they were made.
  void Refund() {
    if (paid_.empty()) return;
    const MonoTime now = loop_.Now();
    for (const Newcomer& newcomer : newcomers_) {
      if (newcomer.receipt.has_value()) newcomer.bound->unverified->Refund(*newcomer.receipt, now);
    }
    newcomers_.clear();
    for (auto payment = paid_.rbegin(); payment != paid_.rend(); ++payment) {
      payment->table->Refund(payment->receipt, now);
    }
    paid_.clear();
  }

 private:
  struct Payment {
    LimiterTable* table;
    Receipt receipt;
  };
  struct Newcomer {
    const BoundRule* bound;
    uint64_t key;
    std::optional<Receipt> receipt;
  };

  const Loop& loop_;
  const Request& request_;
  absl::InlinedVector<Payment, 2, PooledAllocator<Payment>> paid_;
  std::vector<Newcomer, PooledAllocator<Newcomer>> newcomers_;
};

struct RateLimitFilter::Admission {
  const BoundRule* refused_by = nullptr;
  absl::Duration wait;   // refused: until it may fit
  absl::Duration delay;  // admitted: until its turn
  std::optional<LimitHeaders::Standing> standing;
};

RateLimitFilter::RateLimitFilter(Loop& loop, metrics::WorkerMetrics& metrics, Options options)
    : loop_(loop),
      metrics_(metrics),
      secret_(options.secret),
      route_(std::move(options.route)),
      listener_(std::move(options.listener)),
      enforced_(Select(options.rules, Mode::kEnforce)),
      shadow_(Select(options.rules, Mode::kShadow)),
      headers_({.ietf = options.ietf_headers, .openai = options.openai_headers},
               RulesOf(enforced_)),
      refused_tenants_(options.refused_tenants) {}

Decision RateLimitFilter::Ask(const BoundRule& bound, const Request& request, MonoTime now) const {
  if (bound.rule.key.empty()) return bound.table->AcquireShared(1, now);
  KeyHasher hasher(secret_);
  for (const KeyPart& part : bound.rule.key) {
    switch (part.kind) {
      case KeyPart::Kind::kTenant:
        hasher.Add(request.tenant);
        break;
      case KeyPart::Kind::kRoute:
        hasher.Add(route_);
        break;
      case KeyPart::Kind::kListener:
        hasher.Add(listener_);
        break;
      case KeyPart::Kind::kHeader:
        // Without the field they all share one bucket, or leaving it out would escape the limit.
        hasher.Add(request.headers.Get(part.header).value_or(std::string_view()));
        break;
    }
  }
  return bound.table->Acquire(hasher.Finish(), 1, now);
}

Decision RateLimitFilter::Charge(const BoundRule& bound, const Request& request, MonoTime now,
                                 Charges& charges) const {
  const Decision own = Ask(bound, request, now);
  if (!own.admitted) return own;
  charges.Add(*bound.table, own.receipt);
  const bool is_newcomer = request.is_tenant_unverified && bound.unverified != nullptr &&
                           !own.is_verified && !own.receipt.shared;
  if (!is_newcomer) [[likely]] {
    return own;
  }
  if (bound.unverified->IsSharedFull(now)) {
    charges.AddNewcomer(bound, own.receipt.key, std::nullopt);
    return own;
  }
  const Decision common = bound.unverified->AcquireShared(1, now);
  if (!common.admitted) return common;
  charges.AddNewcomer(bound, own.receipt.key, common.receipt);
  return own;
}

MonoTime RateLimitFilter::DecisionTime(const Request& request) const {
  // Usually this is the turn in which the request came, when the clock was read.
  return request.received >= loop_.Now() ? request.received : loop_.PreciseNow();
}

RateLimitFilter::Admission RateLimitFilter::Admit(Request& request, MonoTime now,
                                                  Charges& charges) const {
  Admission admission;
  for (size_t i = 0; i < enforced_.size(); ++i) {
    const BoundRule& bound = enforced_[i];
    const Decision decision = Charge(bound, request, now, charges);
    const bool is_too_late = decision.admitted && decision.delay > absl::ZeroDuration() &&
                             now + decision.delay >= request.deadline;
    if (!decision.admitted || is_too_late) {
      admission.refused_by = &bound;
      admission.wait = is_too_late ? decision.delay : decision.wait;
      admission.standing = {i, is_too_late ? 0 : decision.remaining, admission.wait};
      return admission;
    }
    admission.delay = std::max(admission.delay, decision.delay);
    // The rule that will refuse first; of equals the one that takes longer to recover.
    std::optional<LimitHeaders::Standing>& standing = admission.standing;
    if (!standing.has_value() || decision.remaining < standing->remaining ||
        (decision.remaining == standing->remaining && decision.reset > standing->until)) {
      standing = {i, decision.remaining, decision.reset};
    }
  }
  return admission;
}

void RateLimitFilter::DecideShadow(const Request& request, MonoTime now, Charges& charges) const {
  for (const BoundRule& bound : shadow_) {
    const Decision decision = Ask(bound, request, now);
    if (decision.admitted) charges.Add(*bound.table, decision.receipt);
    Count(bound, decision.admitted);
  }
}

void RateLimitFilter::Count(const BoundRule& bound, bool is_admitted) const {
  const auto decision =
      is_admitted ? metrics::LimiterDecision::kAllowed : metrics::LimiterDecision::kRejected;
  const auto mode = bound.rule.mode == Mode::kShadow ? metrics::FilterMode::kShadow
                                                     : metrics::FilterMode::kEnforce;
  metrics_.Increment(bound.metrics->decisions.At(decision, mode));
}

Task<Result> RateLimitFilter::Call(Request& request, chain::Next next) {
  const MonoTime now = DecisionTime(request);
  Charges charges(loop_, request);
  const Admission admission = Admit(request, now, charges);
  if (admission.standing.has_value()) headers_.Add(*admission.standing, request);
  if (admission.refused_by != nullptr) {
    // Inside retry an attempt before may have been dispatched; this one was not.
    charges.Refund();
    Count(*admission.refused_by, false);
    if (refused_tenants_ != nullptr) refused_tenants_->Increment(request.tenant);
    request.record.limiter_rule = admission.refused_by->rule.name;
    co_return Failure{.reason = http::Reason::kRateRequests,
                      .phase = http::Phase::kLocal,
                      .executed = http::Executed::kNo,
                      .retry_after = admission.wait};
  }
  for (const BoundRule& bound : enforced_) Count(bound, true);
  DecideShadow(request, now, charges);
  if (admission.delay > absl::ZeroDuration()) {
    // Until its turn by the exact clock, which the loop's is behind.
    const absl::Duration delay = now + admission.delay - loop_.Now();
    co_await loop_.Sleep(delay);
  }
  if (!headers_.replaces_service_fields() && !charges.is_newcomer()) {
    co_return co_await next(request);
  }
  Result result = co_await next(request);
  if (result.ok()) {
    if (charges.is_newcomer()) charges.Settle(IsTurnedAway(*result));
    if (headers_.replaces_service_fields()) headers_.RemoveFrom(result->headers);
  }
  co_return result;
}

}  // namespace outrigger::rate_limit
