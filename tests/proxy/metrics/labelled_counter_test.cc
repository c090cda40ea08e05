#include "proxy/metrics/labelled_counter.h"

#include <gtest/gtest.h>

#include <string>

#include "proxy/metrics/descriptors.h"
#include "tests/proxy/metrics/scrape.h"

namespace outrigger::metrics {
namespace {

constexpr char kName[] = "outrigger_limiter_tenant_rejections_total";
constexpr char kFolded[] = "outrigger_labels_folded_total";

TEST(LabelledCounter, CountsEachValueOfTheTableByItself) {
  Registry registry;
  LabelValueTable tenants(registry, "tenant", 2);
  LabelledCounter refused(registry, registry.AddWorker(), families::kLimiterTenantRejections,
                          tenants);
  refused.Increment("a");
  refused.Increment("b");
  refused.Increment("a");
  EXPECT_EQ(CounterValue(registry, kName, {"a"}), 2);
  EXPECT_EQ(CounterValue(registry, kName, {"b"}), 1);
  EXPECT_EQ(CounterValue(registry, kName, {"other"}), std::nullopt);
  EXPECT_EQ(CounterValue(registry, kFolded, {"tenant"}), 0);
}

TEST(LabelledCounter, CountsWhatDoesNotFitAsOtherAndSaysHowOften) {
  Registry registry;
  LabelValueTable tenants(registry, "tenant", 2);
  LabelledCounter refused(registry, registry.AddWorker(), families::kLimiterTenantRejections,
                          tenants);
  for (int i = 0; i < 10; ++i) refused.Increment("tenant-" + std::to_string(i));
  EXPECT_EQ(CounterValue(registry, kName, {"tenant-1"}), 1);
  EXPECT_EQ(CounterValue(registry, kName, {"tenant-2"}), std::nullopt);
  EXPECT_EQ(CounterValue(registry, kName, {"other"}), 8);
  EXPECT_EQ(CounterValue(registry, kFolded, {"tenant"}), 8);
}

TEST(LabelledCounter, WorkersFoldTheSameValues) {
  Registry registry;
  LabelValueTable tenants(registry, "tenant", 1);
  LabelledCounter one(registry, registry.AddWorker(), families::kLimiterTenantRejections, tenants);
  LabelledCounter two(registry, registry.AddWorker(), families::kLimiterTenantRejections, tenants);
  one.Increment("a");
  two.Increment("b");
  two.Increment("a");
  EXPECT_EQ(CounterValue(registry, kName, {"a"}), 2);
  EXPECT_EQ(CounterValue(registry, kName, {"other"}), 1);
}

}  // namespace
}  // namespace outrigger::metrics
