#include "proxy/log/ring.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace outrigger::log {

// The memory is left untouched until used, so that a quiet thread's ring costs no resident pages.
Ring::Ring(size_t capacity_bytes)
    : capacity_(std::bit_ceil(capacity_bytes)), data_(new char[capacity_]) {}

bool Ring::TryPush(std::string_view bytes) {
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  if (tail + bytes.size() - known_head_ > capacity_) {
    known_head_ = head_.load(std::memory_order_acquire);
    if (tail + bytes.size() - known_head_ > capacity_) return false;
  }
  const size_t at = tail & (capacity_ - 1);
  const size_t first = std::min(bytes.size(), capacity_ - at);
  std::memcpy(data_.get() + at, bytes.data(), first);
  std::memcpy(data_.get(), bytes.data() + first, bytes.size() - first);
  // Sequentially consistent: the writer announces its sleep and then looks at the tail, we move the
  // tail and then look for that announcement. One of the two must see the other.
  tail_.store(tail + bytes.size());
  return true;
}

bool Ring::is_half_full() {
  const uint64_t tail = tail_.load(std::memory_order_relaxed);
  if (tail - known_head_ <= capacity_ / 2) return false;
  known_head_ = head_.load(std::memory_order_acquire);
  return tail - known_head_ > capacity_ / 2;
}

std::array<std::string_view, 2> Ring::Readable() const {
  const uint64_t head = head_.load(std::memory_order_relaxed);
  const size_t size = tail_.load() - head;
  const size_t at = head & (capacity_ - 1);
  const size_t first = std::min(size, capacity_ - at);
  return {std::string_view(data_.get() + at, first), std::string_view(data_.get(), size - first)};
}

void Ring::Consume(size_t bytes) {
  head_.store(head_.load(std::memory_order_relaxed) + bytes, std::memory_order_release);
}

}  // namespace outrigger::log
