#include "tools/bench/cpu_account.h"

#include <dirent.h>

#include <charconv>
#include <cstdio>
#include <string>

#include "tools/bench/net.h"

namespace outrigger::bench {
namespace {

int64_t ThreadNanos(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) return 0;  // the thread ended meanwhile
  long long nanos = 0;
  if (std::fscanf(file, "%lld", &nanos) != 1) nanos = 0;
  std::fclose(file);
  return nanos;
}

}  // namespace

CpuAccount CpuAccount::FromList(std::string_view pids) {
  std::vector<int> result;
  while (!pids.empty()) {
    const std::string_view word = pids.substr(0, pids.find(','));
    pids.remove_prefix(std::min(word.size() + 1, pids.size()));
    int pid = 0;
    if (std::from_chars(word.data(), word.data() + word.size(), pid).ec != std::errc()) {
      Die("not a list of process ids");
    }
    result.push_back(pid);
  }
  return CpuAccount(std::move(result));
}

int64_t CpuAccount::Nanos() const {
  int64_t sum = 0;
  for (const int pid : pids_) {
    const std::string tasks = "/proc/" + std::to_string(pid) + "/task/";
    DIR* directory = opendir(tasks.c_str());
    if (directory == nullptr) Die("cannot read " + tasks);
    while (const dirent* entry = readdir(directory)) {
      if (entry->d_name[0] == '.') continue;
      sum += ThreadNanos(tasks + entry->d_name + "/schedstat");
    }
    closedir(directory);
  }
  return sum;
}

}  // namespace outrigger::bench
