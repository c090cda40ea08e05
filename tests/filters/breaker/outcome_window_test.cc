#include "filters/breaker/outcome_window.h"

#include <vector>

#include "gtest/gtest.h"
#include "proxy/base/random.h"

namespace outrigger::breaker {
namespace {

MonoTime At(double seconds) { return MonoTime::FromNanos(static_cast<int64_t>(seconds * 1e9)); }

TEST(OutcomeWindow, ForgetsOneTenthAtATime) {
  OutcomeWindow window(absl::Seconds(10), At(0));
  for (int second = 0; second < 10; ++second) window.Add({.samples = 1}, At(second + 0.5));
  EXPECT_EQ(window.Total(At(9.9)).samples, 10);
  EXPECT_EQ(window.Total(At(10)).samples, 9);
  EXPECT_EQ(window.Total(At(18.9)).samples, 1);
  EXPECT_EQ(window.Total(At(19)).samples, 0);
}

TEST(OutcomeWindow, IsEmptyAfterAPause) {
  OutcomeWindow window(absl::Seconds(10), At(0));
  window.Add({.samples = 5, .failures = 5, .timed = 5, .slow = 5}, At(1));
  EXPECT_EQ(window.Total(At(86'400)), Counts{});
}

TEST(OutcomeWindow, AgreesWithAListOfEverything) {
  constexpr uint64_t kSeed = 31'337;
  Random random(kSeed);
  for (int round = 0; round < 200; ++round) {
    const auto length = static_cast<int64_t>(10 + random.Below(100'000));
    const int64_t width = length / 10;
    auto now = static_cast<int64_t>(random.Below(1'000'000));
    OutcomeWindow window(absl::Nanoseconds(length), MonoTime::FromNanos(now));
    std::vector<std::pair<int64_t, Counts>> all;
    for (int event = 0; event < 300; ++event) {
      now += static_cast<int64_t>(random.Below(static_cast<uint64_t>(length) / 4));
      if (random.Below(2) == 0) {
        const Counts counts = {.samples = static_cast<int64_t>(random.Below(5)),
                               .failures = static_cast<int64_t>(random.Below(5)),
                               .timed = static_cast<int64_t>(random.Below(5)),
                               .slow = static_cast<int64_t>(random.Below(5))};
        window.Add(counts, MonoTime::FromNanos(now));
        all.emplace_back(now, counts);
      }
      Counts expected;
      for (const auto& [time, counts] : all) {
        if (now / width - time / width >= 10) continue;
        expected.samples += counts.samples;
        expected.failures += counts.failures;
        expected.timed += counts.timed;
        expected.slow += counts.slow;
      }
      ASSERT_EQ(window.Total(MonoTime::FromNanos(now)), expected)
          << "seed " << kSeed << " round " << round << " event " << event;
    }
  }
}

}  // namespace
}  // namespace outrigger::breaker
