#include "proxy/base/pooled.h"

#include <array>
#include <atomic>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define OUTRIGGER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OUTRIGGER_ASAN 1
#endif
#endif

namespace outrigger {
namespace {

#ifndef NDEBUG
std::atomic<long> live_blocks{0};
void Count(long delta) { live_blocks.fetch_add(delta, std::memory_order_relaxed); }
#else
void Count(long) {}
#endif

#ifndef OUTRIGGER_ASAN
constexpr size_t kStep = 64;
constexpr size_t kClasses = 64;
// Of each class, per thread: enough for a burst, bounded so that a burst's memory goes back.
constexpr unsigned kMaxKept = 256;

struct FreeBlock {
  FreeBlock* next;
};

struct FreeList {
  FreeBlock* head = nullptr;
  unsigned count = 0;
};

// Without a destructor, so that an access costs no check; FreeListsOwner empties it.
constinit thread_local std::array<FreeList, kClasses> free_lists{};
constinit thread_local bool has_owner = false;

struct FreeListsOwner {
  ~FreeListsOwner() {
    for (FreeList& list : free_lists) {
      while (list.head != nullptr) {
        FreeBlock* next = list.head->next;
        ::operator delete(list.head);
        list.head = next;
      }
      list.count = kMaxKept;  // what other destructors of the thread still free goes to the heap
    }
  }
};

// Called for the first block of a thread.
void AdoptFreeLists() {
  thread_local FreeListsOwner owner;
  (void)owner;
  has_owner = true;
}

constexpr size_t ClassOf(size_t bytes) { return (bytes - 1) / kStep; }
#endif

}  // namespace

void* PooledAllocate(size_t bytes) {
  Count(1);
#ifndef OUTRIGGER_ASAN
  const size_t size_class = ClassOf(bytes);
  if (size_class < kClasses) {
    FreeList& list = free_lists[size_class];
    if (list.head != nullptr) {
      FreeBlock* block = list.head;
      list.head = block->next;
      --list.count;
      return block;
    }
    if (!has_owner) AdoptFreeLists();
    return ::operator new((size_class + 1) * kStep);
  }
#endif
  return ::operator new(bytes);
}

void PooledFree(void* block, size_t bytes) noexcept {
  Count(-1);
#ifndef OUTRIGGER_ASAN
  const size_t size_class = ClassOf(bytes);
  if (size_class < kClasses) {
    FreeList& list = free_lists[size_class];
    if (list.count < kMaxKept) {
      auto* freed = static_cast<FreeBlock*>(block);
      freed->next = list.head;
      list.head = freed;
      ++list.count;
      return;
    }
  }
#else
  (void)bytes;
#endif
  ::operator delete(block);
}

long LivePooledBlocks() {
#ifndef NDEBUG
  return live_blocks.load(std::memory_order_relaxed);
#else
  return 0;
#endif
}

}  // namespace outrigger
