// What the container's cgroup allows this process, of version 1 or 2.
//
//   std::optional<double> cpus = CgroupCpuLimit();      // 0.5 means half a CPU
//
// nullopt: no limit, or none that can be read.

#pragma once

#include <cstddef>
#include <optional>
#include <string>

namespace outrigger::server {

// `root` stands in for "/" in tests.
std::optional<double> CgroupCpuLimit(const std::string& root = "");
std::optional<size_t> CgroupMemoryLimit(const std::string& root = "");

// The configured number, or for `auto` the CPU limit rounded up, at most the CPUs there are.
int WorkerCount(std::optional<long> configured, std::optional<double> cpu_limit, unsigned cpus);
// The configured budget, or for `auto` min(48 MiB, 75 % of the memory limit) (LM-8).
size_t MemoryBudgetBytes(std::optional<size_t> configured, std::optional<size_t> memory_limit);

}  // namespace outrigger::server
