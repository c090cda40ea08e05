#include "filters/breaker/transition_reporter.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <string>
#include <thread>

namespace outrigger::breaker {
namespace {

TEST(TransitionReporter, CountsAndLogsFromAnyThread) {
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  metrics::Registry registry;
  metrics::StandardMetrics standard(registry);
  {
    log::LogService logs({.fd = ends[1]});
    TransitionReporter reporter(registry, standard, logs.shared());
    const auto report = [&](Breaker& breaker, const Transition& transition) {
      reporter.Report(breaker, transition);
    };
    const MonoTime now = MonoTime::FromNanos(1'000'000'000'000);
    const auto use = [&](const std::string& id) {
      for (int i = 0; i < 20; ++i) {
        const auto breaker = Breaker::Create(id, {.consecutive = 2}, 1, now, report);
        for (int failure = 0; failure < 2; ++failure) {
          breaker->TryAcquire(now)->Record(Outcome::kFailure, false, now);
        }
        breaker->SetOverride(Override::kForcedClosed, now);
      }
    };
    std::thread other([&] { use("app/chat"); });
    use("app/chat");
    other.join();
  }
  close(ends[1]);
  const std::string text = registry.Serialize();
  EXPECT_NE(text.find("{breaker=\"app/chat\",to=\"open\",cause=\"consecutive\"} 40"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("{breaker=\"app/chat\",to=\"closed\",cause=\"manual\"} 40"),
            std::string::npos);
  char buffer[4096];
  const ssize_t size = read(ends[0], buffer, sizeof(buffer));
  close(ends[0]);
  ASSERT_GT(size, 0);
  const std::string logged(buffer, static_cast<size_t>(size));
  EXPECT_NE(logged.find("\"level\":\"warn\",\"event\":\"breaker_transition\""), std::string::npos)
      << logged;
  EXPECT_NE(logged.find("\"breaker\":\"app/chat\",\"from\":\"closed\",\"to\":\"open\","
                        "\"cause\":\"consecutive\",\"samples\":2,\"failures\":2"),
            std::string::npos)
      << logged;
}

}  // namespace
}  // namespace outrigger::breaker
