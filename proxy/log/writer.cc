#include "proxy/log/writer.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <utility>

namespace outrigger::log {
namespace {

// Every signal goes to other threads; a broken pipe becomes EPIPE.
std::thread StartWithoutSignals(auto function) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread thread(std::move(function));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

Writer::Writer(int fd, absl::Duration interval)
    : output_(fd), interval_(interval), event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (event_fd_ < 0) std::abort();
  thread_ = StartWithoutSignals([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "outrigger-log");
}

Writer::~Writer() {
  Stop(absl::ZeroDuration());
  close(event_fd_);
}

void Writer::AddRing(Ring& ring) {
  std::lock_guard lock(mutex_);
  rings_.push_back(&ring);
}

std::vector<Ring*> Writer::Rings() const {
  std::lock_guard lock(mutex_);
  return rings_;
}

void Writer::Interrupt() {
  const uint64_t one = 1;
  // Can only fail when the counter is full, and then the writer is awake already.
  [[maybe_unused]] const ssize_t written = write(event_fd_, &one, sizeof(one));
}

void Writer::AfterPush(Ring& ring) {
  if (is_sleeping_.load()) {
    if (is_sleeping_.exchange(false)) Interrupt();
  } else if (ring.is_half_full() && !is_urgent_.load(std::memory_order_relaxed)) {
    if (!is_urgent_.exchange(true)) Interrupt();
  }
}

bool Writer::is_past_stop_deadline() const {
  return is_stopping_.load() && PreciseNow().nanos() >= stop_deadline_nanos_.load();
}

void Writer::Wait(bool for_output, absl::Duration timeout) {
  pollfd fds[] = {{event_fd_, POLLIN, 0}, {output_.poll_fd(), POLLOUT, 0}};
  int millis = -1;
  if (timeout != absl::InfiniteDuration()) {
    millis = static_cast<int>(absl::ToInt64Milliseconds(timeout + absl::Microseconds(999)));
  }
  poll(fds, for_output ? 2 : 1, millis);
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t cleared = read(event_fd_, &count, sizeof(count));
}

bool Writer::HasWork() const {
  return is_stopping_.load() ||
         std::ranges::any_of(Rings(), [](const Ring* ring) { return !ring->is_empty(); });
}

void Writer::CountDropped(std::string_view bytes) {
  const auto lines = static_cast<uint64_t>(std::ranges::count(bytes, '\n'));
  dropped_lines_.store(dropped_lines_.load(std::memory_order_relaxed) + lines,
                       std::memory_order_relaxed);
}

void Writer::Drain(Ring& ring) {
  for (std::string_view bytes : ring.Readable()) {
    while (!bytes.empty()) {
      const ssize_t written = output_.Write(bytes);
      if (written < 0) {
        CountDropped(bytes);
        ring.Consume(bytes.size());
        break;
      }
      bytes.remove_prefix(static_cast<size_t>(written));
      ring.Consume(static_cast<size_t>(written));
      if (written > 0) continue;
      if (is_past_stop_deadline()) {
        CountDropped(bytes);
        ring.Consume(bytes.size());
        break;
      }
      absl::Duration left = absl::InfiniteDuration();
      if (is_stopping_.load()) {
        left = absl::Nanoseconds(stop_deadline_nanos_.load() - PreciseNow().nanos());
        left = std::max(left, absl::ZeroDuration());
      }
      Wait(/*for_output=*/true, left);
    }
  }
}

// True when there was something to write.
bool Writer::DrainAll() {
  bool found = false;
  for (Ring* ring : Rings()) {
    if (ring->is_empty()) continue;
    found = true;
    Drain(*ring);
  }
  if (found) {
    std::lock_guard lock(mutex_);
    progress_.notify_all();
  }
  return found;
}

void Writer::Run() {
  while (true) {
    // Before looking, so that what is pushed afterwards interrupts the wait.
    const bool is_last = is_stopping_.load();
    is_urgent_.store(false);
    const bool found = DrainAll();
    if (is_last) return;
    if (found) {
      Wait(/*for_output=*/false, interval_);
      continue;
    }
    is_sleeping_.store(true);
    if (!HasWork()) Wait(/*for_output=*/false, absl::InfiniteDuration());
    is_sleeping_.store(false);
  }
}

bool Writer::Flush(absl::Duration timeout) {
  std::unique_lock lock(mutex_);
  std::vector<std::pair<Ring*, uint64_t>> targets;
  for (Ring* ring : rings_) targets.emplace_back(ring, ring->pushed_bytes());
  Interrupt();
  return progress_.wait_for(lock, absl::ToChronoNanoseconds(timeout), [&targets] {
    return std::ranges::all_of(targets, [](const auto& target) {
      return target.first->consumed_bytes() >= target.second;
    });
  });
}

void Writer::Stop(absl::Duration timeout) {
  if (!thread_.joinable()) return;
  stop_deadline_nanos_.store((PreciseNow() + timeout).nanos());
  is_stopping_.store(true);
  Interrupt();
  thread_.join();
}

}  // namespace outrigger::log
