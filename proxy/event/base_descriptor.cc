#include "proxy/event/base_descriptor.h"

#include <dirent.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>

namespace outrigger {
namespace {

constexpr char kFolder[] = "/proc/self/fdinfo";

struct Close {
  void operator()(DIR* folder) const { closedir(folder); }
  void operator()(FILE* file) const { std::fclose(file); }
};

bool Watches(const char* name, int fd) {
  const std::unique_ptr<FILE, Close> file(
      std::fopen((std::string(kFolder) + "/" + name).c_str(), "re"));
  if (file == nullptr) return false;
  for (char line[256]; std::fgets(line, sizeof line, file.get()) != nullptr;) {
    int watched = -1;
    if (std::sscanf(line, "tfd: %d", &watched) == 1 && watched == fd) return true;
  }
  return false;
}

}  // namespace

int FindEpollSetOf(int fd) {
  const std::unique_ptr<DIR, Close> folder(opendir(kFolder));
  if (folder == nullptr) return -1;
  while (const dirent* entry = readdir(folder.get())) {
    if (entry->d_name[0] != '.' && Watches(entry->d_name, fd)) return std::atoi(entry->d_name);
  }
  return -1;
}

}  // namespace outrigger
