// Memory for nghttp2: from the pool of small objects, counted for the budget.
//
//   SessionMemory memory(budget);
//   nghttp2_session_server_new3(&session, callbacks, user_data, option, memory.allocator());
//   memory.Settle();                  // charges what was taken since the last time
//
// A connection allocates for every stream and frame; those blocks come and go in the thread's
// lists. Outlives the session. One worker.

#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>

#include "proxy/base/memory_budget.h"

namespace outrigger::http2 {

class SessionMemory {
 public:
  explicit SessionMemory(MemoryBudget& budget);
  ~SessionMemory() { budget_.Release(charged_); }
  SessionMemory(const SessionMemory&) = delete;
  SessionMemory& operator=(const SessionMemory&) = delete;

  // For nghttp2, which copies it.
  nghttp2_mem* allocator() { return &functions_; }
  // In steps, so that the budget, which all workers share, is not touched for every frame.
  void Settle();

  size_t allocated_bytes() const { return allocated_; }

 private:
  static void* Allocate(size_t bytes, void* self);
  static void* AllocateZeroed(size_t count, size_t bytes, void* self);
  static void* Reallocate(void* block, size_t bytes, void* self);
  static void Free(void* block, void* self);

  MemoryBudget& budget_;
  nghttp2_mem functions_;
  size_t allocated_ = 0;
  size_t charged_ = 0;
};

}  // namespace outrigger::http2
