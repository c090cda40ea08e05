#include "proxy/base/pooled.h"

#include <algorithm>
#include <atomic>
#include <new>

namespace outrigger {

namespace pooled_internal {

constinit thread_local std::array<FreeList, kClasses> free_lists{};

}  // namespace pooled_internal

namespace {

#ifndef NDEBUG
std::atomic<long> live_blocks{0};
#endif

#ifndef OUTRIGGER_POOLED_BYPASS
using pooled_internal::free_lists;
using pooled_internal::FreeBlock;
using pooled_internal::FreeList;
using pooled_internal::kClasses;
using pooled_internal::kStep;

// Of each class, per thread: enough for a few hundred requests at a time, each of which holds
// several of the small ones; bounded so that a burst's memory goes back.
unsigned MaxKept(size_t size_class) {
  constexpr size_t kMaxKeptBytes = 256 * 1024;
  const size_t size = (size_class + 1) * kStep;
  return static_cast<unsigned>(std::clamp<size_t>(kMaxKeptBytes / size, 256, 1024));
}

constinit thread_local bool has_owner = false;

struct FreeListsOwner {
  FreeListsOwner() {
    for (size_t i = 0; i < kClasses; ++i) free_lists[i].room = MaxKept(i);
  }
  ~FreeListsOwner() {
    for (FreeList& list : free_lists) {
      while (list.head != nullptr) {
        FreeBlock* next = list.head->next;
        ::operator delete(list.head);
        list.head = next;
      }
      list.room = 0;  // what other destructors of the thread still free goes to the heap
    }
  }
};

// Called for the first block of a thread.
void AdoptFreeLists() {
  thread_local FreeListsOwner owner;
  (void)owner;
  has_owner = true;
}
#endif

}  // namespace

#ifndef NDEBUG
void pooled_internal::CountLive(long delta) {
  live_blocks.fetch_add(delta, std::memory_order_relaxed);
}
#endif

void* pooled_internal::AllocateNew(size_t bytes) {
#ifndef OUTRIGGER_POOLED_BYPASS
  const size_t size_class = (bytes - 1) / kStep;
  if (size_class < kClasses) {
    if (!has_owner) AdoptFreeLists();
    return ::operator new((size_class + 1) * kStep);
  }
#endif
  return ::operator new(bytes);
}

void pooled_internal::FreeForGood(void* block) noexcept { ::operator delete(block); }

long LivePooledBlocks() {
#ifndef NDEBUG
  return live_blocks.load(std::memory_order_relaxed);
#else
  return 0;
#endif
}

}  // namespace outrigger
