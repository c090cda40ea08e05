#include "proxy/server/cgroup.h"

#include <algorithm>
#include <cmath>
#include <fstream>

namespace outrigger::server {
namespace {

constexpr size_t kDefaultBudget = size_t{48} << 20;
// Version 1 says "no limit" with a number near 2^63.
constexpr double kNoLimit = 1e18;

std::optional<std::string> FirstWord(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  if (!(file >> word)) return std::nullopt;
  return word;
}

std::optional<double> Number(const std::string& path) {
  const std::optional<std::string> word = FirstWord(path);
  if (!word.has_value()) return std::nullopt;
  char* end = nullptr;
  const double number = std::strtod(word->c_str(), &end);
  if (end == word->c_str() || *end != '\0') return std::nullopt;
  return number;
}

}  // namespace

std::optional<double> CgroupCpuLimit(const std::string& root) {
  std::ifstream v2(root + "/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period) {
    // "max", or nothing that makes sense, reads as zero.
    const double micros = std::strtod(quota.c_str(), nullptr);
    if (micros <= 0 || period <= 0) return std::nullopt;
    return micros / period;
  }
  const std::optional<double> v1_quota = Number(root + "/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  const std::optional<double> v1_period = Number(root + "/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (!v1_quota.has_value() || !v1_period.has_value() || *v1_quota <= 0 || *v1_period <= 0) {
    return std::nullopt;
  }
  return *v1_quota / *v1_period;
}

std::optional<size_t> CgroupMemoryLimit(const std::string& root) {
  std::optional<double> limit = Number(root + "/sys/fs/cgroup/memory.max");
  if (!limit.has_value()) limit = Number(root + "/sys/fs/cgroup/memory/memory.limit_in_bytes");
  if (!limit.has_value() || *limit <= 0 || *limit > kNoLimit) return std::nullopt;
  return static_cast<size_t>(*limit);
}

int WorkerCount(std::optional<long> configured, std::optional<double> cpu_limit, unsigned cpus) {
  if (configured.has_value()) return static_cast<int>(*configured);
  const double most = std::max(1U, cpus);
  return static_cast<int>(std::clamp(std::ceil(cpu_limit.value_or(most)), 1.0, most));
}

size_t MemoryBudgetBytes(std::optional<size_t> configured, std::optional<size_t> memory_limit) {
  if (configured.has_value()) return *configured;
  if (!memory_limit.has_value()) return kDefaultBudget;
  return std::min(kDefaultBudget, *memory_limit / 4 * 3);
}

}  // namespace outrigger::server
