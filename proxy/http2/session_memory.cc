#include "proxy/http2/session_memory.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include "proxy/base/pooled.h"

namespace outrigger::http2 {
namespace {

// Before each block: its size, which the pool wants back. As wide as the strictest alignment.
constexpr size_t kPrefix = alignof(std::max_align_t);
constexpr size_t kStep = 4096;

size_t& SizeOf(void* block) {
  return *reinterpret_cast<size_t*>(static_cast<char*>(block) - kPrefix);
}

}  // namespace

SessionMemory::SessionMemory(MemoryBudget& budget)
    : budget_(budget), functions_{this, Allocate, Free, AllocateZeroed, Reallocate} {}

void SessionMemory::Settle() {
  const size_t rounded = (allocated_ + kStep - 1) / kStep * kStep;
  if (rounded > charged_) {
    budget_.Charge(rounded - charged_);
  } else if (rounded + kStep < charged_) {
    budget_.Release(charged_ - rounded);
  } else {
    return;
  }
  charged_ = rounded;
}

void* SessionMemory::Allocate(size_t bytes, void* self) {
  char* const start = static_cast<char*>(PooledAllocate(bytes + kPrefix));
  char* const block = start + kPrefix;
  SizeOf(block) = bytes;
  static_cast<SessionMemory*>(self)->allocated_ += bytes;
  return block;
}

void* SessionMemory::AllocateZeroed(size_t count, size_t bytes, void* self) {
  if (bytes != 0 && count > std::numeric_limits<size_t>::max() / 2 / bytes) return nullptr;
  void* const block = Allocate(count * bytes, self);
  std::memset(block, 0, count * bytes);
  return block;
}

void* SessionMemory::Reallocate(void* block, size_t bytes, void* self) {
  if (block == nullptr) return Allocate(bytes, self);
  void* const bigger = Allocate(bytes, self);
  std::memcpy(bigger, block, std::min(bytes, SizeOf(block)));
  Free(block, self);
  return bigger;
}

void SessionMemory::Free(void* block, void* self) {
  if (block == nullptr) return;
  const size_t bytes = SizeOf(block);
  static_cast<SessionMemory*>(self)->allocated_ -= bytes;
  PooledFree(static_cast<char*>(block) - kPrefix, bytes + kPrefix);
}

}  // namespace outrigger::http2
