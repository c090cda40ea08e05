#include "proxy/base/file_stamp.h"

#include <sys/stat.h>

namespace outrigger {

FileStamp FileStamp::Of(const std::string& path) {
  FileStamp stamp;
  struct stat status {};
  if (path.empty() || stat(path.c_str(), &status) != 0) return stamp;
  stamp.exists = true;
  stamp.device = status.st_dev;
  stamp.inode = status.st_ino;
  stamp.size = status.st_size;
  stamp.modified_nanos = int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
  return stamp;
}

}  // namespace outrigger
