#include "proxy/net/buffer_pool.h"

#include <cstdlib>

namespace outrigger::net {
namespace {

// Kept free of each size; what comes back beyond goes to the allocator, so that memory decays after
// a burst.
constexpr size_t kMaxFree[] = {256, 64, 16};
// Free blocks stay charged: with a small budget they alone would have every request refused.
constexpr size_t kMaxFreeShare = 16;

}  // namespace

Block& Block::operator=(Block&& other) noexcept {
  if (this != &other) {
    Clear();
    pool_ = std::exchange(other.pool_, nullptr);
    data_ = std::exchange(other.data_, nullptr);
    size_ = other.size_;
  }
  return *this;
}

void Block::Clear() {
  if (data_ == nullptr) return;
  pool_->Return(std::exchange(data_, nullptr), size_);
}

BufferPool::~BufferPool() {
  for (BlockSize size : {BlockSize::kTiny, BlockSize::kSmall, BlockSize::kLarge}) {
    for (char* data : free_[static_cast<size_t>(size)]) {
      std::free(data);
      budget_.Release(Bytes(size));
    }
  }
}

Block BufferPool::Take(BlockSize size) {
  std::vector<char*>& free = free_[static_cast<size_t>(size)];
  char* data = nullptr;
  if (!free.empty()) {
    data = free.back();
    free.pop_back();
    free_bytes_ -= Bytes(size);
  } else {
    data = static_cast<char*>(std::malloc(Bytes(size)));
    if (data == nullptr) std::abort();
    budget_.Charge(Bytes(size));
  }
  ++lent_blocks_;
  return Block(this, data, size);
}

void BufferPool::Return(char* data, BlockSize size) {
  --lent_blocks_;
  std::vector<char*>& free = free_[static_cast<size_t>(size)];
  const size_t free_bytes = free_bytes_ + Bytes(size);
  const bool is_small_share = free_bytes <= budget_.limit_bytes() / kMaxFreeShare;
  if (free.size() < kMaxFree[static_cast<size_t>(size)] && is_small_share) {
    free.push_back(data);
    free_bytes_ = free_bytes;
    return;
  }
  std::free(data);
  budget_.Release(Bytes(size));
}

}  // namespace outrigger::net
