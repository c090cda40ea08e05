// Bytes of whole lines on their way from one thread to the writer: a bounded queue without locks.
//
//   if (!ring.TryPush(line)) ++dropped;                    // producer
//   for (std::string_view bytes : ring.Readable()) ...     // writer
//   ring.Consume(written);
//
// One producer and one consumer. Invariants: head_ <= tail_ <= head_ + capacity; only the producer
// moves tail_, only the consumer moves head_; bytes in [head_, tail_) are not touched by the
// producer. The positions count bytes since the beginning and never wrap in practice.

#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

namespace outrigger::log {

class Ring {
 public:
  // `capacity_bytes` is rounded up to a power of two.
  explicit Ring(size_t capacity_bytes);

  // Producer. All of `bytes` or, when there is no room, nothing.
  bool TryPush(std::string_view bytes);
  // Producer. Whether more than half is waiting to be read.
  bool is_half_full();

  // Consumer. What can be read now, in order; empty views when there is nothing.
  std::array<std::string_view, 2> Readable() const;
  // Consumer. Gives `bytes` back to the producer. REQUIRES: they were readable.
  void Consume(size_t bytes);

  // Any thread.
  bool is_empty() const { return head_.load() == tail_.load(); }
  uint64_t pushed_bytes() const { return tail_.load(); }
  uint64_t consumed_bytes() const { return head_.load(); }

 private:
  const size_t capacity_;
  const std::unique_ptr<char[]> data_;
  alignas(64) std::atomic<uint64_t> tail_{0};
  uint64_t known_head_ = 0;  // the producer's copy of head_, refreshed when it looks full
  alignas(64) std::atomic<uint64_t> head_{0};
};

}  // namespace outrigger::log
