// Calls somebody who compares stamps soon after a file may have changed.
//
//   FileWatch watch(main_loop, [&] { contexts.LoadChanged(); reloader.Look(); });
//   watch.Watch({"/etc/outrigger/outrigger.yaml", "/certs/tls.crt"});   // instead of those before
//
// The folders of the files are watched by inotify, which sees files that are written or replaced in
// them and the swap of Kubernetes' `..data` link. Events are gathered for a tenth of a second. What
// inotify cannot tell (a link to a file in another folder, a network file system, no instance left,
// a folder that does not exist yet) is found by looking twice a second anyway. So `look` is called
// often and for nothing: it must be cheap. One thread.

#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "proxy/event/event_loop.h"
#include "proxy/net/owned_fd.h"

namespace outrigger::server {

class FileWatch final : private Timer {
 public:
  FileWatch(EventLoop& loop, std::function<void()> look);
  ~FileWatch() override;

  // Empty paths are passed over. Without any nothing is called.
  void Watch(const std::vector<std::string>& files);

 private:
  struct EventFree {
    void operator()(event* event) const { event_free(event); }
  };

  void OnTimer() override;
  void OnInotify();
  void AddMissing();

  const std::function<void()> look_;
  net::OwnedFd inotify_;
  std::unique_ptr<event, EventFree> event_;
  std::map<std::string, int> folders_;  // with the watch; -1: none
  MonoTime next_poll_;
};

}  // namespace outrigger::server
