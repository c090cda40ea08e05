// What tells one state of a file from another, without reading it.
//
//   const FileStamp before = FileStamp::Of(path);
//   ...
//   if (FileStamp::Of(path) != before) ...       // changed, replaced, gone or come
//
// Of the file itself, through symbolic links, so that the swap of Kubernetes' `..data` link is seen
// although the path stays the same. A file that cannot be looked at counts as missing.

#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

namespace outrigger {

struct FileStamp {
  static FileStamp Of(const std::string& path);

  bool exists = false;
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  int64_t modified_nanos = 0;

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

}  // namespace outrigger
