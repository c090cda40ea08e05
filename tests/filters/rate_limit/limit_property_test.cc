// The promises of the three algorithms over a million random schedules each, refunds and replays
// included, on a clock that now and then runs back.
//
// The model keeps one number, the debt in exact units of 1/denominator nano-tokens: a bound of
// burst + rate·T in every interval is the same as a debt that drains at the rate, grows by each
// cost and never exceeds the burst.

#include <algorithm>
#include <vector>

#include "filters/rate_limit/limit.h"
#include "gtest/gtest.h"
#include "proxy/base/random.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OUTRIGGER_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OUTRIGGER_SANITIZED 1
#endif
#endif

namespace outrigger::rate_limit {
namespace {

__extension__ using Wide = __int128;

#ifdef OUTRIGGER_SANITIZED
constexpr int kBlocks = 100;  // sanitizers look for other faults and cost ten times as much
#else
constexpr int kBlocks = 1000;
#endif
constexpr int kSchedulesPerBlock = 1000;
constexpr uint64_t kFirstSeed = 20'251'120;
constexpr int64_t kMaxStepBackNanos = 4'000'000;

struct Setting {
  Algorithm algorithm;
  Rate rate;
  int64_t burst;
  Limit limit;
};

Setting RandomSetting(Algorithm algorithm, Random& random) {
  // Whole and fractional nano-tokens per nanosecond, slow and fast.
  static const std::vector<Rate> kRates = [] {
    std::vector<Rate> rates;
    for (const char* text : {"1/s", "10/s", "1000/s", "7/m", "100000/m", "5/h", "10/100ms",
                             "3/1001ms", "999983/s", "1/7d", "11/13m"}) {
      rates.push_back(Rate::Parse(text).value());
    }
    return rates;
  }();
  const Rate rate = kRates[random.Below(kRates.size())];
  const auto burst = static_cast<int64_t>(1 + random.Below(random.Below(4) == 0 ? 200 : 8));
  return {algorithm, rate, burst, Limit(algorithm, rate, burst)};
}

// A span of time that is interesting at this rate.
int64_t RandomStep(const Setting& setting, Random& random) {
  const int64_t token = setting.rate.NanosToBring(kNanoTokens, 0);
  switch (random.Below(6)) {
    case 0:
      return 0;
    case 1:
      return token;
    case 2:
      return static_cast<int64_t>(random.Below(static_cast<uint64_t>(token) + 1));
    case 3:
      return token * static_cast<int64_t>(random.Below(static_cast<uint64_t>(setting.burst) + 1));
    case 4:
      return static_cast<int64_t>(random.Below(static_cast<uint64_t>(token * setting.burst) + 1));
    default:
      return static_cast<int64_t>(random.Below(1000));
  }
}

struct Debt {
  Wide value = 0;
  MonoTime last;

  void Drain(const Rate& rate, MonoTime now) {
    if (now <= last) return;
    value = std::max<Wide>(0, value - Wide{now.nanos() - last.nanos()} * rate.numerator());
    last = now;
  }
};

Wide InUnits(const Rate& rate, int64_t tokens) {
  return Wide{tokens} * kNanoTokens * rate.denominator();
}

struct Admitted {
  MonoTime at;       // on the bucket's clock, which never runs back
  MonoTime through;  // when the delay is over
  Receipt receipt;
  bool refunded = false;
};

void ExpectBound(const Setting& setting, const std::vector<Admitted>& admitted) {
  Debt debt;
  for (const Admitted& one : admitted) {
    if (one.refunded) continue;
    debt.Drain(setting.rate, one.at);
    debt.value += InUnits(setting.rate, one.receipt.cost);
    ASSERT_LE(debt.value, InUnits(setting.rate, setting.burst));
  }
}

void ExpectEvenSpacing(const Setting& setting, const std::vector<Admitted>& admitted) {
  const Admitted* before = nullptr;
  for (const Admitted& one : admitted) {
    if (one.refunded) continue;
    if (before != nullptr) {
      const Wide gap = Wide{one.through.nanos() - before->through.nanos() + 1};
      ASSERT_GE(gap * setting.rate.numerator(), InUnits(setting.rate, before->receipt.cost));
    }
    before = &one;
  }
}

void ExpectTheWaitIsExact(const Setting& setting, const BucketState& state, int64_t cost,
                          MonoTime now, const Decision& refused) {
  if (cost > setting.burst) {
    ASSERT_EQ(refused.wait, absl::InfiniteDuration());
    return;
  }
  ASSERT_GT(refused.wait, absl::ZeroDuration());
  BucketState later = state;
  ASSERT_TRUE(setting.limit.Acquire(later, cost, now + refused.wait).admitted);
  BucketState earlier = state;
  ASSERT_FALSE(setting.limit.Acquire(earlier, cost, (now + refused.wait).PlusNanos(-1)).admitted);
}

// A request and its two halves: both halves pass at once exactly when the whole does, and where
// time has no grid, halves at two times never pass when the whole at the later one would not.
void ExpectSplittingGainsNothing(const Setting& setting, const BucketState& state, MonoTime now,
                                 Random& random) {
  const auto first = static_cast<int64_t>(1 + random.Below(static_cast<uint64_t>(setting.burst)));
  const auto second = static_cast<int64_t>(1 + random.Below(static_cast<uint64_t>(setting.burst)));
  BucketState whole = state;
  const bool whole_passes = setting.limit.Acquire(whole, first + second, now).admitted;
  BucketState halves = state;
  const bool both_pass = setting.limit.Acquire(halves, first, now).admitted &&
                         setting.limit.Acquire(halves, second, now).admitted;
  ASSERT_EQ(whole_passes, both_pass);
  if (both_pass) {
    ASSERT_EQ(setting.limit.Acquire(whole, 0, now).remaining,
              setting.limit.Acquire(halves, 0, now).remaining);
  }
  if (setting.algorithm == Algorithm::kSlidingWindow || first + second > setting.burst) return;
  const MonoTime later = now.PlusNanos(RandomStep(setting, random));
  BucketState spread = state;
  if (setting.limit.Acquire(spread, first, now).admitted &&
      setting.limit.Acquire(spread, second, later).admitted) {
    BucketState once = state;
    ASSERT_TRUE(setting.limit.Acquire(once, first + second, later).admitted);
  }
}

void RunGreedySchedule(const Setting& setting, Random& random) {
  MonoTime clock = MonoTime::FromNanos(static_cast<int64_t>(random.Below(1'000'000'000'000)));
  BucketState state = setting.limit.Fresh(clock);
  MonoTime seen = clock;  // the latest that the bucket was told
  std::vector<Admitted> admitted;
  absl::Duration last_wait;
  const int events = 6 + static_cast<int>(random.Below(14));
  for (int event = 0; event < events; ++event) {
    clock = last_wait > absl::ZeroDuration() && random.Below(3) == 0
                ? clock + last_wait
                : clock.PlusNanos(RandomStep(setting, random));
    last_wait = absl::ZeroDuration();
    const MonoTime now =
        random.Below(8) == 0
            ? clock.PlusNanos(-static_cast<int64_t>(random.Below(kMaxStepBackNanos)))
            : clock;
    const uint64_t kind = random.Below(12);
    if (kind != 1) seen = std::max(seen, now);
    if (kind == 0) {  // a replay: free, always through, and nothing changes
      const int64_t remaining = setting.limit.Acquire(state, 0, now).remaining;
      ASSERT_EQ(setting.limit.Acquire(state, 0, now).remaining, remaining);
    } else if (kind == 1) {
      ASSERT_NO_FATAL_FAILURE(ExpectSplittingGainsNothing(setting, state, now, random));
    } else if (kind <= 4 && !admitted.empty()) {
      Admitted& one =
          admitted[admitted.size() - 1 - random.Below(std::min<size_t>(4, admitted.size()))];
      if (one.refunded) {
        setting.limit.Acquire(state, 0, now);
      } else {
        setting.limit.Refund(state, one.receipt, now);
      }
      one.refunded = true;
    } else {
      const auto most = random.Below(3) == 0 ? static_cast<uint64_t>(setting.burst) + 1 : 1;
      const auto cost = static_cast<int64_t>(1 + random.Below(most));
      const Decision decision = setting.limit.Acquire(state, cost, now);
      if (decision.admitted) {
        admitted.push_back({seen, now + decision.delay, decision.receipt});
      } else {
        ASSERT_NO_FATAL_FAILURE(ExpectTheWaitIsExact(setting, state, cost, now, decision));
        if (cost <= setting.burst) last_wait = decision.wait;
      }
    }
  }
  ASSERT_NO_FATAL_FAILURE(ExpectBound(setting, admitted));
  if (setting.algorithm == Algorithm::kLeakyBucket) {
    ASSERT_NO_FATAL_FAILURE(ExpectEvenSpacing(setting, admitted));
  }
}

// What a sender must keep to in order never to be refused: tokens at once, and the share of the
// rate as a fraction. The sliding window asks for 2·b + r·W <= burst, see its header.
struct Conduct {
  int64_t at_once;
  int64_t share_numerator;
  int64_t share_denominator;
};

Conduct RandomConduct(const Setting& setting, Random& random) {
  if (setting.algorithm != Algorithm::kSlidingWindow) return {setting.burst, 1, 1};
  const auto at_once =
      static_cast<int64_t>(1 + random.Below(static_cast<uint64_t>(setting.burst) / 2));
  return {at_once, setting.burst - 2 * at_once, setting.burst};
}

void RunConformingSchedule(const Setting& setting, Random& random) {
  if (setting.algorithm == Algorithm::kSlidingWindow && setting.burst < 2) return;
  const Conduct conduct = RandomConduct(setting, random);
  MonoTime clock = MonoTime::FromNanos(static_cast<int64_t>(random.Below(1'000'000'000'000)));
  BucketState state = setting.limit.Fresh(clock);
  Debt debt{0, clock};  // in units of 1/share_denominator more than ExpectBound's
  const Wide capacity = InUnits(setting.rate, conduct.at_once) * conduct.share_denominator;
  const int64_t drain = setting.rate.numerator() * conduct.share_numerator;
  for (int event = 0; event < 12; ++event) {
    const auto cost = static_cast<int64_t>(
        1 + random.Below(random.Below(3) == 0 ? static_cast<uint64_t>(conduct.at_once) : 1));
    const Wide weight = InUnits(setting.rate, cost) * conduct.share_denominator;
    MonoTime now = clock.PlusNanos(RandomStep(setting, random));
    const Wide excess = debt.value + weight - capacity;
    if (excess > 0) {
      if (drain == 0) return;
      // Most often exactly the first nanosecond at which the sender may.
      const MonoTime first = clock.PlusNanos(static_cast<int64_t>((excess + drain - 1) / drain));
      if (now < first || random.Below(2) == 0) now = first;
    }
    debt.value = std::max<Wide>(0, debt.value - Wide{now.nanos() - clock.nanos()} * drain) + weight;
    clock = now;
    const Decision decision = setting.limit.Acquire(state, cost, now);
    ASSERT_TRUE(decision.admitted) << "event " << event << " cost " << cost;
    if (random.Below(6) == 0) setting.limit.Refund(state, decision.receipt, now);
  }
}

class LimitProperty : public ::testing::TestWithParam<Algorithm> {};
INSTANTIATE_TEST_SUITE_P(Algorithms, LimitProperty,
                         ::testing::Values(Algorithm::kTokenBucket, Algorithm::kLeakyBucket,
                                           Algorithm::kSlidingWindow));

using Schedule = void (*)(const Setting&, Random&);

void RunAll(Algorithm algorithm, Schedule schedule) {
  for (uint64_t block = 0; block < kBlocks; ++block) {
    Random random(kFirstSeed + block);
    for (int i = 0; i < kSchedulesPerBlock; ++i) {
      const Setting setting = RandomSetting(algorithm, random);
      schedule(setting, random);
      ASSERT_FALSE(::testing::Test::HasFatalFailure())
          << "seed " << kFirstSeed + block << " schedule " << i << " rate "
          << setting.rate.ToString() << " burst " << setting.burst;
    }
  }
}

TEST_P(LimitProperty, NeverAdmitsMoreThanBurstPlusRate) { RunAll(GetParam(), RunGreedySchedule); }

TEST_P(LimitProperty, NeverRefusesAConformingSender) { RunAll(GetParam(), RunConformingSchedule); }

}  // namespace
}  // namespace outrigger::rate_limit
