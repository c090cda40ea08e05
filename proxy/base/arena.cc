#include "proxy/base/arena.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "proxy/base/pooled.h"

namespace outrigger {

char* Arena::Allocate(size_t bytes) {
  if (static_cast<size_t>(end_ - next_) < bytes) {
    const size_t size = std::max(bytes + sizeof(Block), block_bytes_);
    newest_ = new (PooledAllocate(size)) Block{newest_, size};
    ++block_count_;
    reserved_bytes_ += size;
    next_ = Payload(newest_);
    end_ = reinterpret_cast<char*>(newest_) + size;
  }
  char* out = next_;
  next_ += bytes;
  return out;
}

std::string_view Arena::Copy(std::string_view text) {
  char* out = Allocate(text.size());
  if (!text.empty()) std::memcpy(out, text.data(), text.size());
  return {out, text.size()};
}

void Arena::FreeBlocks(size_t keep) {
  while (block_count_ > keep) {
    Block* block = newest_;
    newest_ = block->older;
    reserved_bytes_ -= block->size;
    --block_count_;
    PooledFree(block, block->size);
  }
}

void Arena::Reset() {
  FreeBlocks(1);
  if (newest_ != nullptr && newest_->size > block_bytes_) FreeBlocks(0);
  next_ = newest_ == nullptr ? nullptr : Payload(newest_);
  end_ = newest_ == nullptr ? nullptr : reinterpret_cast<char*>(newest_) + newest_->size;
}

}  // namespace outrigger
