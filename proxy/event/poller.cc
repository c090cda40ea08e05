#include "proxy/event/poller.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

namespace outrigger {
namespace {

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::abort();
}

bool Control(int epoll_fd, int operation, int fd, uint32_t events, Poller::Handler& handler) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &handler;
  return epoll_ctl(epoll_fd, operation, fd, &event) == 0;
}

}  // namespace

Poller::Poller() : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_fd_ < 0) Die("epoll_create1");
}

Poller::~Poller() { close(epoll_fd_); }

bool Poller::Add(int fd, uint32_t events, Handler& handler) {
  return Control(epoll_fd_, EPOLL_CTL_ADD, fd, events, handler);
}

void Poller::Change(int fd, uint32_t events, Handler& handler) {
  // Fails for one that could not be added.
  (void)Control(epoll_fd_, EPOLL_CTL_MOD, fd, events, handler);
}

void Poller::Remove(int fd, Handler& handler) {
  (void)Control(epoll_fd_, EPOLL_CTL_DEL, fd, 0, handler);
  for (int i = next_; i < count_; ++i) {
    if (batch_[static_cast<size_t>(i)].data.ptr == &handler) {
      batch_[static_cast<size_t>(i)].data.ptr = nullptr;
    }
  }
}

void Poller::Wait(int milliseconds) {
  // Interrupted by a signal is like nothing.
  count_ = epoll_wait(epoll_fd_, batch_.data(), kBatch, milliseconds);
  for (next_ = 0; next_ < count_;) {
    const epoll_event& polled = batch_[static_cast<size_t>(next_++)];
    if (polled.data.ptr != nullptr) static_cast<Handler*>(polled.data.ptr)->OnPolled(polled.events);
  }
  next_ = count_ = 0;
}

}  // namespace outrigger
