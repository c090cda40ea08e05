#include "filters/rate_limit/rate_limit_filter.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "proxy/metrics/descriptors.h"
#include "tests/support/fake_loop.h"
#include "tests/support/scripted_next.h"

namespace outrigger::rate_limit {
namespace {

using http::Failure;
using http::Reason;

class RateLimitFilterTest : public testing::Test {
 protected:
  std::shared_ptr<LimiterTable> AddRule(Rule rule) {
    auto table =
        std::make_shared<LimiterTable>(LimiterTable::Options{.algorithm = rule.algorithm,
                                                             .rate = rule.rate,
                                                             .burst = rule.effective_burst(),
                                                             .max_buckets = rule.max_buckets},
                                       loop_.Now());
    RateLimitFilter::BoundRule bound{.rule = std::move(rule), .table = table};
    bound.metrics = &standard_.Rule(bound.rule.name);
    bound.unverified = std::make_shared<LimiterTable>(
        LimiterTable::Options{.rate = bound.rule.rate, .burst = bound.rule.effective_burst()},
        loop_.Now());
    options_.rules.push_back(std::move(bound));
    return table;
  }
  static Rule PerTenant(std::string name, std::string_view rate, int64_t burst = 0) {
    Rule rule;
    rule.name = std::move(name);
    rule.key = {{}};
    rule.rate = Rate::Parse(rate).value();
    rule.burst = burst;
    return rule;
  }
  RateLimitFilter& Filter() {
    if (filter_ == nullptr) {
      filter_ = std::make_unique<RateLimitFilter>(loop_, worker_, options_);
    }
    return *filter_;
  }
  std::unique_ptr<FilterRun> Send(std::string_view tenant = "anonymous") {
    auto run = std::make_unique<FilterRun>(loop_, Filter(), next_);
    run->request.tenant = tenant;
    run->Start();
    return run;
  }
  bool Passes(std::string_view tenant = "anonymous") {
    const std::unique_ptr<FilterRun> run = Send(tenant);
    EXPECT_TRUE(run->is_done());
    return run->is_done() && run->result().ok();
  }
  // By a credential that nobody has checked.
  std::unique_ptr<FilterRun> SendWithCredential(std::string_view tenant) {
    auto run = std::make_unique<FilterRun>(loop_, Filter(), next_);
    run->request.tenant = tenant;
    run->request.is_tenant_unverified = true;
    run->Start();
    return run;
  }
  // What it is answered; 429 by the limit.
  int StatusOf(std::string_view tenant) {
    const std::unique_ptr<FilterRun> run = SendWithCredential(tenant);
    if (!run->is_done()) return 0;
    return run->result().ok() ? run->result()->status : 429;
  }
  static std::string Header(const FilterRun& run, std::string_view name) {
    return std::string(run.request.response_headers.Get(name).value_or("absent"));
  }
  bool Shows(const std::string& line) const {
    return registry_.Serialize().find(line) != std::string::npos;
  }
  void ExpectNothingLeft() {
    EXPECT_EQ(loop_.armed_timers(), 0u);
    EXPECT_EQ(next_.live_calls(), 0);
    EXPECT_EQ(next_.live_bodies(), 0);
  }

  FakeLoop loop_;
  metrics::Registry registry_;
  metrics::StandardMetrics standard_{registry_};
  metrics::WorkerMetrics& worker_ = registry_.AddWorker();
  ScriptedNext next_{loop_};
  RateLimitFilter::Options options_{.route = "chat", .listener = "inbound", .secret = {1, 2}};
  std::unique_ptr<RateLimitFilter> filter_;
};

TEST_F(RateLimitFilterTest, PassesHeadAndBodyWhileThereIsRoom) {
  AddRule(PerTenant("requests", "10/s"));
  next_.Respond({.status = 200, .body = {{"a"}, {"b", absl::Seconds(1)}}});
  const auto run = Send();
  ASSERT_TRUE(run->is_done() && run->result().ok());
  EXPECT_EQ(Header(*run, "RateLimit-Policy"), "\"requests\";q=10;w=1");
  EXPECT_EQ(Header(*run, "RateLimit"), "\"requests\";r=9;t=1");
  run->StartReading();
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(run->is_read());
  EXPECT_EQ(run->body(), "ab");
  run->Drop();
  ExpectNothingLeft();
}

TEST_F(RateLimitFilterTest, RefusesWithTheWaitAfterWhichTheRequestFits) {
  AddRule(PerTenant("requests", "2/s", 1));
  EXPECT_TRUE(Passes());
  const auto run = Send();
  ASSERT_FALSE(run->result().ok());
  const Failure& failure = run->result().error();
  EXPECT_EQ(failure.reason, Reason::kRateRequests);
  EXPECT_EQ(failure.phase, http::Phase::kLocal);
  EXPECT_EQ(failure.executed, http::Executed::kNo);
  EXPECT_EQ(failure.retry_after, absl::Milliseconds(500));
  EXPECT_EQ(run->request.record.limiter_rule, "requests");
  EXPECT_EQ(Header(*run, "RateLimit"), "\"requests\";r=0;t=1");
  EXPECT_EQ(next_.calls(), 1);
  loop_.Advance(failure.retry_after - absl::Nanoseconds(1));
  EXPECT_FALSE(Passes());
  loop_.Advance(absl::Nanoseconds(1));
  EXPECT_TRUE(Passes());
  EXPECT_TRUE(Shows("{rule=\"requests\",decision=\"allowed\",mode=\"enforce\"} 2"));
  EXPECT_TRUE(Shows("{rule=\"requests\",decision=\"rejected\",mode=\"enforce\"} 2"));
}

TEST_F(RateLimitFilterTest, KeepsTenantsApart) {
  AddRule(PerTenant("requests", "1/h"));
  EXPECT_TRUE(Passes("alice"));
  EXPECT_FALSE(Passes("alice"));
  EXPECT_TRUE(Passes("bob"));
}

TEST_F(RateLimitFilterTest, MadeUpCredentialsShareOneBucket) {
  AddRule(PerTenant("requests", "3/h"));
  next_.Respond({.status = 200});
  EXPECT_EQ(StatusOf("known"), 200);
  int turned_away = 0;
  for (int i = 0; i < 50; ++i) {
    next_.ForgetScript();
    next_.Respond({.status = i % 2 == 0 ? 401 : 403});
    if (StatusOf("made-up-" + std::to_string(i)) != 429) ++turned_away;
  }
  EXPECT_EQ(turned_away, 3);
  next_.ForgetScript();
  // Who has proven itself is not held back by them, and has a bucket of its own as ever.
  EXPECT_EQ(StatusOf("known"), 200);
  EXPECT_EQ(StatusOf("known"), 200);
  EXPECT_EQ(StatusOf("known"), 429);
  // Nobody knows a newcomer from those; there is room again as time goes by.
  const auto newcomer = SendWithCredential("new");
  EXPECT_EQ(newcomer->result().error().retry_after, absl::Minutes(20));
  loop_.Advance(absl::Minutes(20));
  EXPECT_EQ(StatusOf("new"), 200);
  EXPECT_EQ(StatusOf("new"), 200) << "it has proven itself, and the room was given back";
  EXPECT_EQ(StatusOf("another"), 200);
}

TEST_F(RateLimitFilterTest, NewcomersOfAHealthyServiceNeedNoRoomInCommon) {
  AddRule(PerTenant("requests", "2/h"));
  next_.RespondAlways({.status = 200, .delay = absl::Seconds(5)});
  std::vector<std::unique_ptr<FilterRun>> runs;
  for (int i = 0; i < 20; ++i) runs.push_back(SendWithCredential("t" + std::to_string(i)));
  loop_.Advance(absl::Seconds(5));
  for (const auto& run : runs) EXPECT_TRUE(run->is_done() && run->result().ok());
}

TEST_F(RateLimitFilterTest, ANewcomersAdvanceComesBackUnlessItIsTurnedAway) {
  AddRule(PerTenant("requests", "2/h"));
  next_.Respond({.status = 401});
  EXPECT_EQ(StatusOf("first"), 401);  // one of two places is left
  next_.Fail({.reason = Reason::kConnectFail, .phase = http::Phase::kConnect});
  EXPECT_EQ(StatusOf("a"), 429) << "a failure, of which nothing was sent";
  next_.Respond({.status = 200, .delay = absl::Seconds(9)});
  auto waiting = SendWithCredential("b");
  EXPECT_EQ(StatusOf("c"), 429) << "the place is taken";
  loop_.Advance(absl::Seconds(9));
  EXPECT_TRUE(waiting->result().ok());
  // One that leaves when it was sent keeps the place: it may be turned away for all we know.
  next_.Respond({.status = 200, .delay = absl::Seconds(9)});
  auto leaving = SendWithCredential("d");
  leaving->Drop();
  EXPECT_EQ(StatusOf("e"), 429);
  ExpectNothingLeft();
}

TEST_F(RateLimitFilterTest, TenantsThatCannotBeMadeUpAreNoNewcomers) {
  AddRule(PerTenant("requests", "2/h"));
  for (int i = 0; i < 10; ++i) {
    next_.Respond({.status = 401});
    EXPECT_TRUE(Passes("certificate-" + std::to_string(i)));
  }
}

TEST_F(RateLimitFilterTest, DecidesByTheExactTimeOfArrival) {
  AddRule(PerTenant("requests", "1000/s", 1));
  const auto send = [this](absl::Duration after) {
    FilterRun run(loop_, Filter(), next_);
    run.request.received = loop_.Now() + after;  // the loop's clock is up to 4 ms behind
    run.Start();
    return run.result().ok();
  };
  EXPECT_TRUE(send(absl::Microseconds(3900)));
  EXPECT_FALSE(send(absl::Microseconds(3999)));
  EXPECT_TRUE(send(absl::Microseconds(4900)));
  loop_.Advance(absl::Milliseconds(5));
  EXPECT_FALSE(send(absl::Microseconds(899))) << "a tick of the loop's clock brings nothing";
  EXPECT_TRUE(send(absl::Microseconds(900)));
}

TEST_F(RateLimitFilterTest, RuleWithoutKeyHasOneBucketForAll) {
  Rule rule = PerTenant("all", "1/h");
  rule.key.clear();
  AddRule(rule);
  EXPECT_TRUE(Passes("alice"));
  EXPECT_FALSE(Passes("bob"));
}

TEST_F(RateLimitFilterTest, RouteAndListenerArePartsOfTheKey) {
  Rule rule = PerTenant("requests", "1/h");
  rule.key = {{KeyPart::Kind::kRoute, ""}, {KeyPart::Kind::kListener, ""}};
  AddRule(rule);
  EXPECT_TRUE(Passes("alice"));
  EXPECT_FALSE(Passes("bob"));
  for (std::string RateLimitFilter::Options::*part :
       {&RateLimitFilter::Options::route, &RateLimitFilter::Options::listener}) {
    options_.*part = "other";
    filter_.reset();
    EXPECT_TRUE(Passes("alice"));
    EXPECT_FALSE(Passes("alice"));
  }
}

TEST_F(RateLimitFilterTest, RequestsWithoutTheKeyedHeaderShareABucket) {
  Rule rule = PerTenant("by-app", "1/h");
  rule.key = {{KeyPart::Kind::kHeader, "x-app"}};
  AddRule(rule);
  EXPECT_TRUE(Passes());
  EXPECT_FALSE(Passes());
  FilterRun named(loop_, Filter(), next_);
  named.request.headers.Add("X-App", "search");
  named.Start();
  EXPECT_TRUE(named.result().ok());
}

TEST_F(RateLimitFilterTest, RefusalByALaterRuleChargesNothing) {
  const auto first = AddRule(PerTenant("first", "3/h"));
  AddRule(PerTenant("second", "1/h"));
  EXPECT_TRUE(Passes());
  for (int i = 0; i < 5; ++i) {
    const auto run = Send();
    ASSERT_FALSE(run->result().ok());
    EXPECT_EQ(run->request.record.limiter_rule, "second");
  }
  EXPECT_TRUE(Shows("{rule=\"first\",decision=\"allowed\",mode=\"enforce\"} 1"));
  EXPECT_FALSE(Shows("{rule=\"first\",decision=\"rejected\""));
  KeyHasher hasher(options_.secret);
  hasher.Add("anonymous");
  EXPECT_EQ(first->Remaining(hasher.Finish(), loop_.Now()), 2);
}

TEST_F(RateLimitFilterTest, FirstRuleInOrderRefuses) {
  AddRule(PerTenant("first", "1/h"));
  AddRule(PerTenant("second", "1/h"));
  EXPECT_TRUE(Passes());
  const auto run = Send();
  ASSERT_FALSE(run->result().ok());
  EXPECT_EQ(run->request.record.limiter_rule, "first");
}

TEST_F(RateLimitFilterTest, ShowsTheRuleThatWillRefuseFirst) {
  AddRule(PerTenant("wide", "100/h"));
  AddRule(PerTenant("narrow", "5/h"));
  const auto run = Send();
  EXPECT_EQ(Header(*run, "RateLimit"), "\"narrow\";r=4;t=720");
}

TEST_F(RateLimitFilterTest, ShadowRuleOnlyCounts) {
  Rule rule = PerTenant("tried", "1/h");
  rule.mode = Mode::kShadow;
  AddRule(rule);
  EXPECT_TRUE(Passes());
  const auto run = Send();
  ASSERT_TRUE(run->result().ok());
  EXPECT_TRUE(run->request.response_headers.empty());
  EXPECT_TRUE(run->request.record.limiter_rule.empty());
  EXPECT_TRUE(Shows("{rule=\"tried\",decision=\"allowed\",mode=\"shadow\"} 1"));
  EXPECT_TRUE(Shows("{rule=\"tried\",decision=\"rejected\",mode=\"shadow\"} 1"));
}

TEST_F(RateLimitFilterTest, ShadowRuleSeesOnlyWhatTheOthersLetThrough) {
  Rule rule = PerTenant("tried", "10/h");
  rule.mode = Mode::kShadow;
  AddRule(rule);
  AddRule(PerTenant("real", "1/h"));
  EXPECT_TRUE(Passes());
  EXPECT_FALSE(Passes());
  EXPECT_TRUE(Shows("{rule=\"tried\",decision=\"allowed\",mode=\"shadow\"} 1"));
}

TEST_F(RateLimitFilterTest, ShadowLeakyBucketDoesNotDelay) {
  Rule rule = PerTenant("line", "1/s", 5);
  rule.algorithm = Algorithm::kLeakyBucket;
  rule.mode = Mode::kShadow;
  AddRule(rule);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(Passes());
}

TEST_F(RateLimitFilterTest, GivesThePermitBackWhenNothingWasSent) {
  AddRule(PerTenant("requests", "1/h"));
  next_.Fail({.reason = Reason::kConnectFail, .phase = http::Phase::kConnect});
  EXPECT_FALSE(Passes());
  EXPECT_TRUE(Passes());
}

TEST_F(RateLimitFilterTest, KeepsThePermitOnceAByteWasSent) {
  AddRule(PerTenant("requests", "1/h"));
  next_.Fail({.reason = Reason::kUpstreamReset,
              .phase = http::Phase::kSending,
              .executed = http::Executed::kMaybe});
  EXPECT_FALSE(Passes());
  const auto run = Send();
  EXPECT_EQ(run->result().error().reason, Reason::kRateRequests);
}

TEST_F(RateLimitFilterTest, GivesThePermitBackWhenTheClientLeavesBeforeDispatch) {
  AddRule(PerTenant("requests", "1/h"));
  // As in a backoff inside, before anything was sent.
  next_.Fail({.reason = Reason::kConnectFail, .phase = http::Phase::kConnect}, absl::Seconds(9));
  auto run = Send();
  EXPECT_FALSE(run->is_done());
  run->Drop();
  ExpectNothingLeft();
  EXPECT_TRUE(Passes());
}

TEST_F(RateLimitFilterTest, KeepsThePermitWhenTheClientLeavesAfterDispatch) {
  AddRule(PerTenant("requests", "1/h"));
  next_.Respond({.status = 200, .delay = absl::Seconds(9)});
  auto run = Send();
  EXPECT_FALSE(run->is_done());
  run->Drop();
  ExpectNothingLeft();
  EXPECT_FALSE(Passes());
}

TEST_F(RateLimitFilterTest, LeakyBucketLetsRequestsThroughEvenly) {
  Rule rule = PerTenant("line", "10/s", 3);
  rule.algorithm = Algorithm::kLeakyBucket;
  AddRule(rule);
  const MonoTime start = loop_.Now();
  std::vector<std::unique_ptr<FilterRun>> runs;
  for (int i = 0; i < 4; ++i) runs.push_back(Send());
  EXPECT_EQ(next_.calls(), 1);
  ASSERT_TRUE(runs[3]->is_done());
  EXPECT_EQ(runs[3]->result().error().retry_after, absl::Milliseconds(100));
  loop_.Advance(absl::Seconds(1));
  ASSERT_EQ(next_.calls(), 3);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(next_.call_times()[i] - start, static_cast<int64_t>(i) * absl::Milliseconds(100));
  }
}

TEST_F(RateLimitFilterTest, ClientThatLeavesTheLineFreesItsPlace) {
  Rule rule = PerTenant("line", "1/s", 2);
  rule.algorithm = Algorithm::kLeakyBucket;
  AddRule(rule);
  EXPECT_TRUE(Passes());
  const long blocks = LivePooledBlocks();
  auto waiting = Send();
  EXPECT_EQ(loop_.armed_timers(), 1u);
  waiting->Drop();
  waiting.reset();
  ExpectNothingLeft();
  EXPECT_EQ(LivePooledBlocks(), blocks);
  const auto next = Send();
  EXPECT_FALSE(next->is_done());
  loop_.Advance(absl::Seconds(1));
  ASSERT_TRUE(next->is_done());
  EXPECT_TRUE(next->result().ok());
}

TEST_F(RateLimitFilterTest, APlaceBehindTheDeadlineIsRefusedAtOnceAndFreed) {
  Rule rule = PerTenant("line", "1/s", 2);
  rule.algorithm = Algorithm::kLeakyBucket;
  AddRule(rule);
  EXPECT_TRUE(Passes());
  for (int i = 0; i < 3; ++i) {
    FilterRun hurried(loop_, Filter(), next_);
    hurried.request.deadline = loop_.Now() + absl::Milliseconds(500);
    hurried.Start();
    ASSERT_TRUE(hurried.is_done());
    EXPECT_EQ(hurried.result().error().reason, Reason::kRateRequests);
    EXPECT_EQ(hurried.result().error().retry_after, absl::Seconds(1));
  }
  ExpectNothingLeft();
}

TEST_F(RateLimitFilterTest, PassesABodyThatTheServiceCutsShort) {
  AddRule(PerTenant("requests", "1/h"));
  next_.Respond({.status = 200,
                 .body = {{"a"},
                          {.failure = Failure{.reason = Reason::kUpstreamReset,
                                              .phase = http::Phase::kBody}}}});
  const auto run = Send();
  run->StartReading();
  ASSERT_TRUE(run->is_read());
  EXPECT_EQ(run->body_failure()->reason, Reason::kUpstreamReset);
  EXPECT_FALSE(Passes());
}

TEST_F(RateLimitFilterTest, OpenAiFieldsOfTheServiceGiveWayToOurs) {
  options_.openai_headers = true;
  AddRule(PerTenant("requests", "10/s"));
  next_.Respond({.status = 200, .headers = {{"x-ratelimit-remaining-requests", "777"}}});
  const auto run = Send();
  EXPECT_FALSE(run->result()->headers.Get("x-ratelimit-remaining-requests").has_value());
  EXPECT_EQ(Header(*run, "x-ratelimit-remaining-requests"), "9");
  EXPECT_EQ(Header(*run, "x-ratelimit-reset-requests"), "100ms");
}

TEST_F(RateLimitFilterTest, NewFilterOnTheSameTableContinuesTheCount) {
  AddRule(PerTenant("requests", "2/h"));
  EXPECT_TRUE(Passes());
  filter_.reset();  // a new configuration makes a new filter
  EXPECT_TRUE(Passes());
  EXPECT_FALSE(Passes());
}

TEST_F(RateLimitFilterTest, LeavesNoBlockBehind) {
  AddRule(PerTenant("requests", "1000/s"));
  EXPECT_TRUE(Passes());
  const long before = LivePooledBlocks();
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Passes());
  EXPECT_EQ(LivePooledBlocks(), before);
}

TEST_F(RateLimitFilterTest, CountsWhomItRefuses) {
  metrics::LabelledCounter refused(registry_, worker_, metrics::families::kLimiterTenantRejections,
                                   standard_.tenants);
  options_.refused_tenants = &refused;
  AddRule(PerTenant("requests", "1/s"));
  Rule shadow = PerTenant("tried", "1/h");
  shadow.mode = Mode::kShadow;
  AddRule(std::move(shadow));
  EXPECT_TRUE(Passes("alice"));
  EXPECT_TRUE(Passes("bob"));
  EXPECT_FALSE(Passes("alice"));
  EXPECT_FALSE(Passes("alice"));
  EXPECT_TRUE(Shows("outrigger_limiter_tenant_rejections_total{tenant=\"alice\"} 2"));
  EXPECT_FALSE(Shows("tenant=\"bob\""));
  // A rule that only watches refuses nobody.
  loop_.Advance(absl::Seconds(1));
  EXPECT_TRUE(Passes("bob"));
  EXPECT_FALSE(Shows("tenant=\"bob\""));
}

}  // namespace
}  // namespace outrigger::rate_limit
