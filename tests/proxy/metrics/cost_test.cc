// Prints what the operations cost; nothing is asserted about time, which depends on the machine.

#include <gtest/gtest.h>

#include <cstdio>

#include "proxy/base/time.h"
#include "proxy/metrics/descriptors.h"
#include "proxy/metrics/standard_metrics.h"
#include "tests/proxy/metrics/scrape.h"

namespace outrigger::metrics {
namespace {

template <class Operation>
void PrintCost(const char* what, int times, Operation operation) {
  const MonoTime start = PreciseNow();
  for (int i = 0; i < times; ++i) operation(i);
  const double nanos = static_cast<double>((PreciseNow().nanos() - start.nanos())) / times;
  std::printf("  %-36s %8.1f ns\n", what, nanos);
}

TEST(MetricsCost, IsPrinted) {
  constexpr int kTimes = 200000;
  Registry registry;
  StandardMetrics metrics(registry);
  WorkerMetrics& worker = registry.AddWorker();
  RouteMetrics& route = metrics.Route("chat");
  const CounterId counter = route.requests.At(CodeClass::k2xx, http::Reason::kNone);
  PrintCost("counter", kTimes, [&](int) { worker.Increment(counter); });
  PrintCost("counter by class and reason", kTimes, [&](int i) {
    worker.Increment(route.requests.At(static_cast<CodeClass>(i % 5), http::Reason::kNone));
  });
  PrintCost("histogram of 19 bounds", kTimes,
            [&](int i) { worker.ObserveNanos(route.duration, i * 1000); });
  constexpr Descriptor kTenants = {"outrigger_tenants_total", Type::kCounter, "tenant", "Tenants."};
  for (int i = 0; i < 1000; ++i) {
    worker.Increment(registry.AddCounter(kTenants, {"tenant-" + std::to_string(i)}));
  }
  size_t bytes = 0;
  PrintCost("scrape with 1,000 tenants", 10, [&](int) { bytes = registry.Serialize().size(); });
  std::printf("  %-36s %8zu bytes\n", "size of that scrape", bytes);
  EXPECT_EQ(CounterValue(registry, "outrigger_requests_total", {"chat", "2xx", ""}),
            kTimes + kTimes / 5);
}

}  // namespace
}  // namespace outrigger::metrics
