#include "proxy/admin/loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace outrigger::admin {
namespace {

// Without memory or file descriptors for a loop there is no admin port and no health.
template <class T>
T Require(T value, bool is_good, const char* what) {
  if (is_good) return value;
  std::perror(what);
  std::abort();
}

event_base* NewBase() {
  event_config* config = event_config_new();
  Require(config, config != nullptr, "event_config_new");
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  event_base* base = event_base_new_with_config(config);
  event_config_free(config);
  return Require(base, base != nullptr, "event_base_new");
}

}  // namespace

timeval ToDelay(absl::Duration duration) {
  return absl::ToTimeval(std::max(duration, absl::ZeroDuration()));
}

Mailbox::Mailbox() {
  const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  event_fd_ = Require(fd, fd >= 0, "eventfd");
}

Mailbox::~Mailbox() { close(event_fd_); }

bool Mailbox::Post(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  if (is_closed_) return false;
  tasks_.push_back(std::move(task));
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event_fd_, &one, sizeof(one));
  return true;
}

std::vector<std::function<void()>> Mailbox::TakeAll() {
  std::lock_guard lock(mutex_);
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t cleared = read(event_fd_, &count, sizeof(count));
  return std::exchange(tasks_, {});
}

void Mailbox::Close() {
  // Declared first, so that it is destroyed after the lock: what a task owns may post.
  std::vector<std::function<void()>> dropped;
  std::lock_guard lock(mutex_);
  is_closed_ = true;
  dropped.swap(tasks_);
}

Loop::Loop()
    : base_(NewBase()),
      mailbox_(std::make_shared<Mailbox>()),
      mail_event_(event_new(base_.get(), mailbox_->event_fd_, EV_READ | EV_PERSIST, OnMail, this)) {
  Require(0, mail_event_ != nullptr && event_add(mail_event_.get(), nullptr) == 0, "event_add");
}

Loop::~Loop() { mailbox_->Close(); }

void Loop::Run() { event_base_loop(base_.get(), EVLOOP_NO_EXIT_ON_EMPTY); }

void Loop::Stop() { event_base_loopexit(base_.get(), nullptr); }

EventPtr Loop::NewTimer(event_callback_fn callback, void* argument) {
  EventPtr timer(evtimer_new(base_.get(), callback, argument));
  Require(0, timer != nullptr, "evtimer_new");
  return timer;
}

void Loop::OnMail(evutil_socket_t, short, void* self) {
  for (const auto& task : static_cast<Loop*>(self)->mailbox_->TakeAll()) task();
}

}  // namespace outrigger::admin
