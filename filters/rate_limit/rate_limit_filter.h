// Lets a request pass when every rule has room for it, and says how much room is left.
//
//   RateLimitFilter filter(loop, worker_metrics,
//                          {.route = "chat", .secret = secret, .rules = std::move(rules)});
//
// All enforced rules must admit, in the order of the configuration. The first that does not ends
// the request with `rate_requests`, the wait of that rule, and nothing charged by any rule. A leaky
// bucket makes the request wait for its place; a place behind the request's deadline is refused at
// once. Shadow rules decide after the enforced ones, about the requests that those let through, and
// are seen in the metrics alone (LM-10).
//
// *Newcomers.* A tenant known by a credential that nobody here has checked could be one of many that
// a caller makes up. Until the service has answered it with anything but 401 or 403 it is a
// newcomer, and all newcomers of a rule share one bucket more, `unverified`, of the rule's size
// (LM-2). An answer of 401 or 403 spends of it. While it is full, that is when nobody was turned
// away lately, newcomers pass without it; else each pays in advance, and gets that back when the
// service answers it. Their own buckets are charged as everybody's.
//
// What was charged is given back when this filter is done with the request (the head is known, it
// failed, or the client left) and no byte of it has gone upstream (LM-11). Inside retry each
// attempt is charged.
//
// One worker; the tables are shared. The loop, the metrics and the tables' secret outlive it.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "filters/rate_limit/key_hash.h"
#include "filters/rate_limit/limit_headers.h"
#include "filters/rate_limit/limiter_table.h"
#include "filters/rate_limit/policy.h"
#include "proxy/chain/filter.h"
#include "proxy/event/loop.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::rate_limit {

class RateLimitFilter final : public chain::Filter {
 public:
  struct BoundRule {
    Rule rule;
    std::shared_ptr<LimiterTable> table;
    // Its shared bucket is that of newcomers; null: the rule does not tell tenants apart.
    std::shared_ptr<LimiterTable> unverified;
    metrics::RuleMetrics* metrics = nullptr;  // outlives the filter
  };
  struct Options {
    bool ietf_headers = true;
    bool openai_headers = false;
    // What rules keyed by `route` and `listener` tell apart.
    std::string route;
    std::string listener;
    HashSecret secret;
    // Those whose mode is disabled are left out.
    std::vector<BoundRule> rules;
    // Who was refused; null: not counted. Outlives the filter.
    metrics::LabelledCounter* refused_tenants = nullptr;
  };

  RateLimitFilter(Loop& loop, metrics::WorkerMetrics& metrics, Options options);

  Task<http::Result> Call(http::Request& request, chain::Next next) override;

 private:
  class Charges;
  struct Admission;

  // When it is decided. As exact as the clock, lest a limit be exceeded by what refills in the time
  // that the loop's clock is late.
  MonoTime DecisionTime(const http::Request& request) const;
  Admission Admit(http::Request& request, MonoTime now, Charges& charges) const;
  void DecideShadow(const http::Request& request, MonoTime now, Charges& charges) const;
  Decision Ask(const BoundRule& bound, const http::Request& request, MonoTime now) const;
  // The same, and for a newcomer of its common bucket.
  Decision Charge(const BoundRule& bound, const http::Request& request, MonoTime now,
                  Charges& charges) const;
  void Count(const BoundRule& bound, bool is_admitted) const;

  Loop& loop_;
  metrics::WorkerMetrics& metrics_;
  const HashSecret secret_;
  const std::string route_;
  const std::string listener_;
  const std::vector<BoundRule> enforced_;
  const std::vector<BoundRule> shadow_;
  const LimitHeaders headers_;
  metrics::LabelledCounter* const refused_tenants_;
};

}  // namespace outrigger::rate_limit
