#include "proxy/server/file_watch.h"

#include <sys/inotify.h>

#include <algorithm>
#include <utility>

namespace outrigger::server {
namespace {

constexpr absl::Duration kPollPeriod = absl::Milliseconds(500);
// A file is often written in steps, and files that belong together one after the other.
constexpr absl::Duration kGather = absl::Milliseconds(100);
constexpr uint32_t kEvents = IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO;

std::string FolderOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

}  // namespace

FileWatch::FileWatch(EventLoop& loop, std::function<void()> look)
    : Timer(loop), look_(std::move(look)), inotify_(inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  if (!inotify_.is_open()) return;
  event_.reset(event_new(
      loop.base(), inotify_.get(), EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<FileWatch*>(self)->OnInotify(); },
      this));
  event_add(event_.get(), nullptr);
}

FileWatch::~FileWatch() = default;

void FileWatch::Watch(const std::vector<std::string>& files) {
  std::map<std::string, int> folders;
  for (const std::string& file : files) {
    if (!file.empty()) folders[FolderOf(file)] = -1;
  }
  for (const auto& [folder, watch] : folders_) {
    const auto kept = folders.find(folder);
    if (kept != folders.end()) {
      kept->second = watch;
    } else if (watch >= 0) {
      inotify_rm_watch(inotify_.get(), watch);
    }
  }
  folders_ = std::move(folders);
  AddMissing();
  if (folders_.empty()) {
    Disarm();
  } else if (!is_armed()) {
    next_poll_ = loop().Now() + kPollPeriod;
    Arm(next_poll_);
  }
}

void FileWatch::AddMissing() {
  if (!inotify_.is_open()) return;
  for (auto& [folder, watch] : folders_) {
    if (watch < 0) watch = inotify_add_watch(inotify_.get(), folder.c_str(), kEvents | IN_ONLYDIR);
  }
}

void FileWatch::OnInotify() {
  alignas(inotify_event) char buffer[4096];
  for (;;) {
    const ssize_t size = read(inotify_.get(), buffer, sizeof buffer);
    if (size <= 0) break;
    for (ssize_t at = 0; at < size;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer + at);
      at += static_cast<ssize_t>(sizeof(inotify_event) + event->len);
      if ((event->mask & IN_IGNORED) == 0) continue;
      for (auto& [folder, watch] : folders_) {
        if (watch == event->wd) watch = -1;  // the folder is gone
      }
    }
  }
  if (folders_.empty()) return;
  Arm(std::min(next_poll_, loop().Now() + kGather));
}

void FileWatch::OnTimer() {
  const MonoTime now = loop().Now();
  if (now >= next_poll_) AddMissing();
  next_poll_ = now + kPollPeriod;
  Arm(next_poll_);
  look_();
}

}  // namespace outrigger::server
