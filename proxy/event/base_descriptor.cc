#include "proxy/event/base_descriptor.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace outrigger {
namespace {

// How far above the probe it is looked for. Below is where it should be: it is older.
constexpr int kFurther = 1024;

// Whether `set` is an epoll set that watches `fd`; it then no longer tells of it.
bool Watches(int set, int fd) {
  epoll_event nothing{};
  return epoll_ctl(set, EPOLL_CTL_MOD, fd, &nothing) == 0;
}

int FindSetOf(int fd) {
  for (int set = fd - 1; set >= 0; --set) {
    if (Watches(set, fd)) return set;
  }
  for (int set = fd + 1; set <= fd + kFurther; ++set) {
    if (Watches(set, fd)) return set;
  }
  return -1;
}

}  // namespace

int FindEpollSet(event_base& base) {
  const int probe = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (probe < 0) return -1;
  event* const watch = event_new(
      &base, probe, EV_READ, [](evutil_socket_t, short, void*) {}, nullptr);
  int set = -1;
  if (watch != nullptr && event_add(watch, nullptr) == 0) set = FindSetOf(probe);
  if (watch != nullptr) event_free(watch);
  close(probe);
  return set;
}

}  // namespace outrigger
