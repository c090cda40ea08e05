// Memory for small objects that come and go with every request: coroutine frames, bodies, leases.
//
//   class RetryBody : public http::Body, public Pooled { ... };   // new and delete use the pool
//
// Freed blocks are kept in per-thread lists by size class (64-byte steps up to 4 KiB), so that a
// steady stream of requests allocates nothing. A block may be freed on another thread than the one
// that allocated it; it then joins that thread's lists. Builds with AddressSanitizer bypass the
// lists, because a reused block would hide a use after free.

#pragma once

#include <array>
#include <cstddef>
#include <string>

#if defined(__SANITIZE_ADDRESS__)
#define OUTRIGGER_POOLED_BYPASS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OUTRIGGER_POOLED_BYPASS 1
#endif
#endif

namespace outrigger {

namespace pooled_internal {

inline constexpr size_t kStep = 64;
inline constexpr size_t kClasses = 64;

struct FreeBlock {
  FreeBlock* next;
};

struct FreeList {
  FreeBlock* head;
  unsigned room;  // how many more blocks are kept; 0 before the thread's first block
};

// Without a destructor, so that an access costs no check.
extern constinit thread_local std::array<FreeList, kClasses> free_lists;

// From the heap, and back to it.
void* AllocateNew(size_t bytes);
void FreeForGood(void* block) noexcept;
#ifndef NDEBUG
void CountLive(long delta);
#else
inline void CountLive(long) {}
#endif

}  // namespace pooled_internal

inline void* PooledAllocate(size_t bytes) {
  pooled_internal::CountLive(1);
#ifndef OUTRIGGER_POOLED_BYPASS
  const size_t size_class = (bytes - 1) / pooled_internal::kStep;
  if (size_class < pooled_internal::kClasses) [[likely]] {
    pooled_internal::FreeList& list = pooled_internal::free_lists[size_class];
    if (pooled_internal::FreeBlock* const block = list.head; block != nullptr) [[likely]] {
      list.head = block->next;
      ++list.room;
      return block;
    }
  }
#endif
  return pooled_internal::AllocateNew(bytes);
}

inline void PooledFree(void* block, [[maybe_unused]] size_t bytes) noexcept {
  pooled_internal::CountLive(-1);
#ifndef OUTRIGGER_POOLED_BYPASS
  const size_t size_class = (bytes - 1) / pooled_internal::kStep;
  if (size_class < pooled_internal::kClasses) [[likely]] {
    pooled_internal::FreeList& list = pooled_internal::free_lists[size_class];
    if (list.room > 0) [[likely]] {
      auto* const freed = static_cast<pooled_internal::FreeBlock*>(block);
      freed->next = list.head;
      list.head = freed;
      --list.room;
      return;
    }
  }
#endif
  pooled_internal::FreeForGood(block);
}

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

using PooledString = std::basic_string<char, std::char_traits<char>, PooledAllocator<char>>;

}  // namespace outrigger
