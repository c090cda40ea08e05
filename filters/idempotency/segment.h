// A piece of a recorded body: bytes that never move or change once published.
//
//   RefPtr<Segment> segment = Segment::Adopt(budget, 4096, 0);
//   segment->Write(bytes);            // the one writer
//   segment->Publish();
//   Send(segment->published());       // any number of readers, on any worker
//
// The writer fills free room at the end and then publishes it; readers see the length grow but
// never a byte change. The bytes are charged to the memory budget for as long as anyone holds the
// segment. The budget must outlive it.

#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <new>
#include <string_view>

#include "filters/idempotency/ref_ptr.h"
#include "proxy/base/memory_budget.h"
#include "proxy/base/pooled.h"

namespace outrigger::idempotency {

class Segment : public RefCounted<Segment> {
 public:
  // What a segment of that capacity costs, in the budget and in memory.
  static size_t Cost(size_t capacity) { return sizeof(Segment) + capacity; }
  // The caller has charged Cost(capacity) already; the segment gives it back when it dies.
  // `start` is the place of its first byte in the body.
  static RefPtr<Segment> Adopt(MemoryBudget& budget, size_t capacity, uint64_t start);

  ~Segment() { budget_.Release(Cost(capacity_)); }
  // The bytes behind it go along.
  static void operator delete(Segment* segment, std::destroying_delete_t) {
    const size_t cost = Cost(segment->capacity_);
    segment->~Segment();
    PooledFree(segment, cost);
  }

  uint64_t start() const { return start_; }
  // Any thread.
  std::string_view published() const {
    return {bytes(), published_.load(std::memory_order_acquire)};
  }

  // The writer's side.
  size_t room() const { return capacity_ - written_; }
  uint64_t written_end() const { return start_ + written_; }
  // REQUIRES: data.size() <= room().
  void Write(std::string_view data);
  void Publish() { published_.store(written_, std::memory_order_release); }

 private:
  struct Trailing {
    size_t bytes;
  };
  static void* operator new(size_t size, Trailing trailing) {
    return PooledAllocate(size + trailing.bytes);
  }
  // Pairs with the form above; a constructor that does not throw never calls it.
  static void operator delete(void* memory, Trailing trailing) {
    PooledFree(memory, sizeof(Segment) + trailing.bytes);
  }

  Segment(MemoryBudget& budget, size_t capacity, uint64_t start)
      : budget_(budget), start_(start), capacity_(static_cast<uint32_t>(capacity)) {}

  char* bytes() { return reinterpret_cast<char*>(this + 1); }
  const char* bytes() const { return reinterpret_cast<const char*>(this + 1); }

  MemoryBudget& budget_;
  const uint64_t start_;
  const uint32_t capacity_;
  uint32_t written_ = 0;  // the writer's alone
  std::atomic<uint32_t> published_{0};
};

}  // namespace outrigger::idempotency
