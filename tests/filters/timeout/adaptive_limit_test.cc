#include "filters/timeout/adaptive_limit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>
#include <vector>

#include "proxy/base/random.h"

namespace outrigger::timeout {
namespace {

using absl::Milliseconds;
using absl::Minutes;
using absl::Seconds;

constexpr AdaptivePolicy kPolicy;  // 3, 5 s, 120 s, otherwise 60 s
constexpr absl::Duration kSlice = absl::Nanoseconds(AdaptiveLimit::kSliceNanos);
// The beginning of a slice.
constexpr MonoTime kStart = MonoTime::FromNanos(AdaptiveLimit::kSliceNanos * 100);

void RecordMany(AdaptiveLimit& times, int count, absl::Duration time, MonoTime now) {
  for (int i = 0; i < count; ++i) times.Record(time, now);
}

TEST(AdaptiveLimit, IsTheOtherwiseOneUntilThereAreEnoughTimes) {
  AdaptiveLimit times(kPolicy);
  EXPECT_EQ(times.Limit(kStart), Seconds(60));
  RecordMany(times, 99, Seconds(4), kStart);
  EXPECT_EQ(times.Limit(kStart), Seconds(60));
  times.Record(Seconds(4), kStart);
  EXPECT_GE(times.Limit(kStart), Seconds(12));
  EXPECT_LE(times.Limit(kStart), Seconds(12) * 33 / 32 + Milliseconds(3));
}

TEST(AdaptiveLimit, StaysBetweenFloorAndCap) {
  AdaptiveLimit quick(kPolicy);
  RecordMany(quick, 1'000, Milliseconds(50), kStart);
  EXPECT_EQ(quick.Limit(kStart), Seconds(5));
  AdaptiveLimit slow(kPolicy);
  RecordMany(slow, 1'000, Minutes(30), kStart);
  EXPECT_EQ(slow.Limit(kStart), Seconds(120));
}

TEST(AdaptiveLimit, IgnoresOneInAHundred) {
  AdaptiveLimit times(kPolicy);
  RecordMany(times, 990, Milliseconds(100), kStart);
  RecordMany(times, 10, Seconds(50), kStart);
  EXPECT_EQ(times.Limit(kStart), Seconds(5));
  times.Record(Seconds(50), kStart);
  EXPECT_EQ(times.Limit(kStart), Seconds(120));
}

TEST(AdaptiveLimit, ForgetsAfterTheNextSliceEvenWhenNothingIsRecorded) {
  AdaptiveLimit times(kPolicy);
  RecordMany(times, 100, Seconds(1), kStart);
  const MonoTime last = kStart + 2 * kSlice;
  EXPECT_EQ(times.Limit(last + -absl::Nanoseconds(1)), Seconds(5));
  EXPECT_EQ(times.Limit(last), Seconds(60));
}

TEST(AdaptiveLimit, ForgetsEverythingAfterALongPause) {
  AdaptiveLimit times(kPolicy);
  RecordMany(times, 100, Seconds(1), kStart);
  EXPECT_EQ(times.Limit(kStart + absl::Hours(5)), Seconds(60));
}

TEST(AdaptiveLimit, KeepsWhatItSawUnderANewPolicy) {
  AdaptiveLimit times(kPolicy);
  RecordMany(times, 100, Milliseconds(60), kStart);
  AdaptivePolicy policy{.factor = 10, .floor = Milliseconds(100)};
  times.SetPolicy(policy);
  EXPECT_EQ(times.Limit(kStart), Milliseconds(600));
}

TEST(AdaptiveLimit, TakesTimesOfAClockThatIsBehind) {
  AdaptiveLimit times(kPolicy);
  RecordMany(times, 50, Seconds(1), kStart);
  RecordMany(times, 50, Seconds(1), kStart + -Milliseconds(4));
  EXPECT_EQ(times.Limit(kStart), Seconds(5));
}

// Any sequence of times and pauses, cuts among them: the limit is what the sorted times of the
// window give, within the histogram's error.
TEST(AdaptiveLimit, AgreesWithTheSortedTimesOfTheWindow) {
  constexpr uint64_t kFirstSeed = 8'100;
  int learned = 0;
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + 60; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    const AdaptivePolicy policy{.factor = 1.5 + static_cast<double>(random.Below(5)),
                                .floor = Milliseconds(1 + random.Below(2'000)),
                                .cap = Seconds(10 + random.Below(1'000)),
                                .otherwise = Seconds(60)};
    AdaptiveLimit times(policy);
    struct Sample {
      int64_t slice;
      absl::Duration time;
    };
    std::vector<Sample> all;
    MonoTime now = kStart;
    int cuts = 0;
    for (int step = 0; step < 1'500; ++step) {
      const absl::Duration longest_pause = random.Below(300) == 0 ? Minutes(12) : Seconds(2);
      now = now + longest_pause * static_cast<double>(random.Below(1'000)) / 1'000;
      const absl::Duration time =
          Milliseconds(1) * std::exp2(static_cast<double>(random.Below(18'000)) / 1'000);
      if (cuts < AdaptiveLimit::kCutsInARow - 1 && random.Below(10) == 0) {
        times.RecordCut(time, now);
        ++cuts;
      } else {
        times.Record(time, now);
        cuts = 0;
      }
      const int64_t slice = now.nanos() / AdaptiveLimit::kSliceNanos;
      all.push_back({slice, time});
      std::vector<absl::Duration> window;
      for (const Sample& sample : all) {
        if (sample.slice >= slice - 1) window.push_back(sample.time);
      }
      const absl::Duration limit = times.Limit(now);
      if (window.size() < AdaptiveLimit::kEnough) {
        ASSERT_EQ(limit, policy.otherwise);
        continue;
      }
      ++learned;
      std::sort(window.begin(), window.end());
      const absl::Duration exact = window[(window.size() * 99 + 99) / 100 - 1];
      const auto bounded = [&policy](absl::Duration p99) {
        return std::clamp(policy.factor * p99, policy.floor, policy.cap);
      };
      ASSERT_GE(limit, bounded(exact));
      ASSERT_LE(limit, bounded(exact + exact / 32 + Milliseconds(1)));
    }
  }
  EXPECT_GT(learned, 10'000);
}

// A service that answers each stream after `time`, asked `per_second` times a second for
// `duration`; what is cut is told as such when its limit has passed. The number that was cut.
struct Service {
  struct Running {
    MonoTime began;
    absl::Duration limit;
  };

  int Run(absl::Duration time, int per_second, absl::Duration duration) {
    int cuts = 0;
    const MonoTime end = now + duration;
    // Ends are in the order of beginnings but where the limit has just grown.
    std::vector<Running> running;
    while (now < end || !running.empty()) {
      if (now < end) running.push_back({now, times.Limit(now)});
      now = now + Seconds(1) / per_second;
      std::erase_if(running, [&](const Running& stream) {
        const absl::Duration lasted = std::min(time, stream.limit);
        if (stream.began + lasted > now) return false;
        if (lasted < time) {
          ++cuts;
          times.RecordCut(lasted, now);
        } else {
          times.Record(lasted, now);
        }
        return true;
      });
    }
    return cuts;
  }

  AdaptiveLimit times{kPolicy};
  MonoTime now = kStart;
};

TEST(AdaptiveLimit, GrowsWithAServiceThatHasBecomeFiveTimesSlower) {
  for (const int per_second : {1, 10, 100}) {
    SCOPED_TRACE(testing::Message() << per_second << " a second");
    Service service;
    ASSERT_EQ(service.Run(Seconds(4), per_second, Minutes(8)), 0);
    ASSERT_LT(service.times.Limit(service.now), Seconds(13));
    // Those that were under way when the first were cut, and a few.
    const int cuts = service.Run(Seconds(20), per_second, Minutes(2));
    EXPECT_GT(cuts, 0);
    EXPECT_LE(cuts, per_second * 13 + 2 * AdaptiveLimit::kCutsInARow);
    EXPECT_EQ(service.Run(Seconds(20), per_second, Minutes(5)), 0);
    EXPECT_GE(service.times.Limit(service.now), Seconds(60));
  }
}

TEST(AdaptiveLimit, GrowsUpToTheCapForAServiceThatHangs) {
  Service service;
  service.Run(Milliseconds(300), 10, Minutes(8));
  ASSERT_EQ(service.times.Limit(service.now), Seconds(5));
  service.Run(absl::Hours(1), 10, Minutes(5));
  EXPECT_EQ(service.times.Limit(service.now), Seconds(120));
}

TEST(AdaptiveLimit, ShrinksAgainWithinTwoSlices) {
  Service service;
  service.Run(Seconds(20), 10, Minutes(8));
  ASSERT_GE(service.times.Limit(service.now), Seconds(60));
  service.Run(Milliseconds(300), 10, Minutes(10));
  EXPECT_EQ(service.times.Limit(service.now), Seconds(5));
}

// Every second stream is slow, so that the cuts never come in a row.
TEST(AdaptiveLimit, GrowsWhenMoreThanOneInAHundredIsCut) {
  AdaptiveLimit times(kPolicy);
  RecordMany(times, 1'000, Seconds(1), kStart);
  int cuts = 0;
  for (; times.Limit(kStart) < Seconds(20); ++cuts) {
    ASSERT_LT(cuts, 100);
    times.RecordCut(times.Limit(kStart), kStart);
    times.Record(Seconds(1), kStart);
  }
  EXPECT_GT(cuts, 10);
  EXPECT_LE(cuts, 25);  // two steps of one in a hundred
}

// A breaker that is open by then lets one through now and then.
TEST(AdaptiveLimit, GrowsAtFiveCutsInARowWhateverWasSeenBefore) {
  AdaptiveLimit times(kPolicy);
  RecordMany(times, 1'000'000, Seconds(1), kStart);
  for (int i = 1; i < AdaptiveLimit::kCutsInARow; ++i) times.RecordCut(Seconds(5), kStart);
  EXPECT_EQ(times.Limit(kStart), Seconds(5));
  times.RecordCut(Seconds(5), kStart);
  EXPECT_GE(times.Limit(kStart), Seconds(15));
  EXPECT_LT(times.Limit(kStart), Seconds(16));
}

TEST(AdaptiveLimit, NeverShrinksByACut) {
  constexpr uint64_t kFirstSeed = 9'900;
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + 50; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    AdaptiveLimit times(kPolicy);
    RecordMany(times, 100 + static_cast<int>(random.Below(300)), Seconds(random.Below(30)), kStart);
    for (int i = 0; i < 40; ++i) {
      // Of attempts that began before the limit grew, too.
      const absl::Duration before = times.Limit(kStart);
      times.RecordCut(Seconds(5 + random.Below(100)), kStart);
      ASSERT_GE(times.Limit(kStart), before);
    }
  }
}

TEST(AdaptiveLimit, CountsWhatSeveralWorkersRecord) {
  AdaptiveLimit times(kPolicy);
  std::atomic<bool> is_wrong = false;
  std::vector<std::thread> workers;
  for (int worker = 0; worker < 4; ++worker) {
    workers.emplace_back([&] {
      for (int i = 0; i < 2'500; ++i) {
        // One in a hundred and one more in all: the percentile is that of the slow ones only if
        // none is lost.
        times.Record(i < 25 ? Seconds(10) : Seconds(1), kStart);
        const absl::Duration limit = times.Limit(kStart);
        if (limit < Seconds(5) || limit > Seconds(60)) is_wrong = true;
      }
    });
  }
  for (std::thread& worker : workers) worker.join();
  EXPECT_FALSE(is_wrong);
  EXPECT_EQ(times.Limit(kStart), Seconds(5));
  times.Record(Seconds(10), kStart);
  EXPECT_GE(times.Limit(kStart), Seconds(30));
}

}  // namespace
}  // namespace outrigger::timeout
