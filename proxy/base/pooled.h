// Memory for small objects that come and go with every request: coroutine frames, bodies, leases.
//
//   class RetryBody : public http::Body, public Pooled { ... };   // new and delete use the pool
//
// Freed blocks are kept in per-thread lists by size class (64-byte steps up to 4 KiB), so that a
// steady stream of requests allocates nothing. A block may be freed on another thread than the one
// that allocated it; it then joins that thread's lists. Builds with AddressSanitizer bypass the
// lists, because a reused block would hide a use after free.

#pragma once

#include <cstddef>

namespace outrigger {

void* PooledAllocate(size_t bytes);
void PooledFree(void* block, size_t bytes) noexcept;

// Blocks now handed out by this process, for tests that look for leaks. Counted in debug and
// sanitizer builds only; 0 otherwise.
long LivePooledBlocks();

struct Pooled {
  static void* operator new(size_t bytes) { return PooledAllocate(bytes); }
  static void operator delete(void* block, size_t bytes) noexcept { PooledFree(block, bytes); }
};

// The same memory for standard containers whose size is about the same for every request.
template <class T>
struct PooledAllocator {
  using value_type = T;

  PooledAllocator() = default;
  template <class U>
  PooledAllocator(const PooledAllocator<U>&) {}  // NOLINT: allocators convert

  T* allocate(size_t count) { return static_cast<T*>(PooledAllocate(count * sizeof(T))); }
  void deallocate(T* block, size_t count) noexcept { PooledFree(block, count * sizeof(T)); }

  friend bool operator==(const PooledAllocator&, const PooledAllocator&) { return true; }
};

}  // namespace outrigger
