#include "proxy/server/cgroup.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

namespace outrigger::server {
namespace {

constexpr size_t kMiB = size_t{1} << 20;

class CgroupTest : public testing::Test {
 protected:
  CgroupTest() {
    std::string name = (std::filesystem::temp_directory_path() / "outrigger-XXXXXX").string();
    root_ = mkdtemp(name.data());
  }
  ~CgroupTest() override { std::filesystem::remove_all(root_); }

  // Below /sys/fs/cgroup.
  void Write(const std::string& file, const std::string& text) {
    const std::filesystem::path path = std::filesystem::path(root_) / "sys/fs/cgroup" / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text;
  }

  std::string root_;
};

TEST_F(CgroupTest, HasNoLimitsWithoutFiles) {
  EXPECT_EQ(CgroupCpuLimit(root_), std::nullopt);
  EXPECT_EQ(CgroupMemoryLimit(root_), std::nullopt);
}

TEST_F(CgroupTest, ReadsTheCpuLimitOfVersion2) {
  const struct {
    const char* text;
    std::optional<double> expected;
  } kTable[] = {
      {"50000 100000\n", 0.5},    {"250000 100000\n", 2.5},      {"max 100000\n", std::nullopt},
      {"", std::nullopt},         {"max", std::nullopt},         {"50000", std::nullopt},
      {"50000 0", std::nullopt},  {"none 100000", std::nullopt}, {"-1 100000", std::nullopt},
      {"0 100000", std::nullopt},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.text);
    Write("cpu.max", row.text);
    EXPECT_EQ(CgroupCpuLimit(root_), row.expected);
  }
}

TEST_F(CgroupTest, ReadsTheCpuLimitOfVersion1) {
  Write("cpu/cpu.cfs_quota_us", "150000\n");
  EXPECT_EQ(CgroupCpuLimit(root_), std::nullopt);
  Write("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(CgroupCpuLimit(root_), 1.5);
  Write("cpu/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(CgroupCpuLimit(root_), std::nullopt);
}

TEST_F(CgroupTest, ReadsTheMemoryLimitOfEitherVersion) {
  Write("memory/memory.limit_in_bytes", "67108864\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), 64 * kMiB);
  // Version 1's way to say that there is none.
  Write("memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), std::nullopt);
  Write("memory.max", "33554432\n");
  EXPECT_EQ(CgroupMemoryLimit(root_), 32 * kMiB);
  for (const char* text : {"max\n", "", "0", "-1", "12abc"}) {
    SCOPED_TRACE(text);
    Write("memory.max", text);
    EXPECT_EQ(CgroupMemoryLimit(root_), std::nullopt);
  }
}

TEST(WorkerCount, FollowsTheConfigurationThenTheLimit) {
  EXPECT_EQ(WorkerCount(3, 0.5, 8), 3);
  EXPECT_EQ(WorkerCount(std::nullopt, std::nullopt, 8), 8);
  EXPECT_EQ(WorkerCount(std::nullopt, 0.1, 8), 1);
  EXPECT_EQ(WorkerCount(std::nullopt, 1.0, 8), 1);
  EXPECT_EQ(WorkerCount(std::nullopt, 2.1, 8), 3);
  EXPECT_EQ(WorkerCount(std::nullopt, 100.0, 8), 8);
  EXPECT_EQ(WorkerCount(std::nullopt, std::nullopt, 0), 1);
}

TEST(MemoryBudgetBytes, IsAtMost48MiBAndThreeQuartersOfTheLimit) {
  EXPECT_EQ(MemoryBudgetBytes(std::nullopt, std::nullopt), 48 * kMiB);
  EXPECT_EQ(MemoryBudgetBytes(std::nullopt, 1024 * kMiB), 48 * kMiB);
  EXPECT_EQ(MemoryBudgetBytes(std::nullopt, 64 * kMiB), 48 * kMiB);
  EXPECT_EQ(MemoryBudgetBytes(std::nullopt, 32 * kMiB), 24 * kMiB);
  EXPECT_EQ(MemoryBudgetBytes(100 * kMiB, 32 * kMiB), 100 * kMiB);
}

}  // namespace
}  // namespace outrigger::server
