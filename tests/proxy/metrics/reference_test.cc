#include "proxy/metrics/reference.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>

namespace outrigger::metrics {
namespace {

// OUTRIGGER_WRITE_DOCS=1 writes the page instead of comparing it.
TEST(MetricsReference, IsThePageInTheDocumentation) {
  const std::string generated = MetricsReference();
  if (std::getenv("OUTRIGGER_WRITE_DOCS") != nullptr) {
    std::ofstream file(OUTRIGGER_METRICS_PAGE, std::ios::binary);
    ASSERT_TRUE(file << generated) << OUTRIGGER_METRICS_PAGE;
    return;
  }
  std::ifstream file(OUTRIGGER_METRICS_PAGE, std::ios::binary);
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  EXPECT_TRUE(page == generated) << "docs/metrics.md is not what the program says; run this test "
                                    "with OUTRIGGER_WRITE_DOCS=1 to write it anew";
}

}  // namespace
}  // namespace outrigger::metrics
