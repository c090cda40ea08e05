#include "proxy/metrics/process_metrics.h"

#include <dirent.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "proxy/metrics/descriptors.h"

namespace outrigger::metrics {
namespace {

// Field 22 of /proc/self/stat is the start in clock ticks since boot. The name in field 2 may
// contain spaces and parentheses; the last parenthesis ends it.
std::optional<double> StartTimeSeconds() {
  std::ifstream file("/proc/self/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  const size_t name_end = line.rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  size_t at = name_end + 1;
  for (int field = 3; field < 22; ++field) {
    at = line.find(' ', at + 1);
    if (at == std::string::npos) return std::nullopt;
  }
  unsigned long long ticks = 0;
  if (std::sscanf(line.c_str() + at, "%llu", &ticks) != 1) return std::nullopt;
  timespec wall{};
  timespec since_boot{};
  clock_gettime(CLOCK_REALTIME, &wall);
  clock_gettime(CLOCK_BOOTTIME, &since_boot);
  const auto seconds = [](const timespec& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
  };
  const auto started = static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK));
  return seconds(wall) - seconds(since_boot) + started;
}

std::optional<double> ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  uint64_t total_pages = 0;
  uint64_t resident_pages = 0;
  if (!(file >> total_pages >> resident_pages)) return std::nullopt;
  return static_cast<double>(resident_pages) * static_cast<double>(sysconf(_SC_PAGESIZE));
}

std::optional<double> CpuSeconds() {
  rusage usage{};
  if (getrusage(RUSAGE_SELF, &usage) != 0) return std::nullopt;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

std::optional<double> OpenFds() {
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return std::nullopt;
  int count = 0;
  while (const dirent* entry = readdir(dir)) {
    if (entry->d_name[0] != '.') ++count;
  }
  closedir(dir);
  return count - 1;  // without the directory itself
}

std::optional<double> MaxFds() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return std::nullopt;
  return static_cast<double>(limit.rlim_cur);
}

}  // namespace

std::vector<CallbackHandle> AddProcessMetrics(Registry& registry) {
  std::vector<CallbackHandle> handles;
  const auto add = [&](const Descriptor& descriptor, auto read) {
    handles.push_back(registry.AddCallback(descriptor, [read]() -> std::vector<Sample> {
      const std::optional<double> value = read();
      if (!value.has_value()) return {};
      return {Sample{{}, *value}};
    }));
  };
  // Computed once: it must not wander when the date is set.
  add(families::kProcessStartTime, [start = StartTimeSeconds()] { return start; });
  add(families::kProcessResident, ResidentBytes);
  add(families::kProcessCpu, CpuSeconds);
  add(families::kProcessOpenFds, OpenFds);
  add(families::kProcessMaxFds, MaxFds);
  return handles;
}

}  // namespace outrigger::metrics
