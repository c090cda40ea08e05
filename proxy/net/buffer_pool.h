// Blocks of memory for reading and writing, kept by a worker and handed out last in, first out, so
// that the warm one is used again.
//
//   Block block = pool.Take(BlockSize::kSmall);
//   ... recv(fd, block.data(), block.size(), 0) ...
//   block = {};                                  // gives it back
//
// A connection holds a block only while there are bytes in it; an idle one costs none. Memory is
// charged to the budget while the pool holds it, lent or not. The pool outlives its blocks. One
// worker.

#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "proxy/base/memory_budget.h"

namespace outrigger::net {

enum class BlockSize : uint8_t {
  kTiny,   // 1 KiB: messages of streams that share a connection
  kSmall,  // 16 KiB: heads, small bodies, events
  kLarge,  // 64 KiB: bodies that stream, heads that did not fit
};

class BufferPool;

class Block {
 public:
  Block() = default;
  ~Block() { Clear(); }
  Block(Block&& other) noexcept
      : pool_(std::exchange(other.pool_, nullptr)),
        data_(std::exchange(other.data_, nullptr)),
        size_(other.size_) {}
  Block& operator=(Block&& other) noexcept;

  char* data() const { return data_; }
  size_t size() const;
  bool is_empty() const { return data_ == nullptr; }
  void Clear();

 private:
  friend class BufferPool;
  Block(BufferPool* pool, char* data, BlockSize size) : pool_(pool), data_(data), size_(size) {}

  BufferPool* pool_ = nullptr;
  char* data_ = nullptr;
  BlockSize size_ = BlockSize::kSmall;
};

class BufferPool {
 public:
  static constexpr size_t kTinyBytes = 1024;
  static constexpr size_t kSmallBytes = 16 * 1024;
  static constexpr size_t kLargeBytes = 64 * 1024;

  explicit BufferPool(MemoryBudget& budget) : budget_(budget) {}
  ~BufferPool();
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // The smallest that holds so many, or the largest.
  static constexpr BlockSize SizeFor(size_t bytes) {
    if (bytes <= kTinyBytes) return BlockSize::kTiny;
    return bytes <= kSmallBytes ? BlockSize::kSmall : BlockSize::kLarge;
  }

  // Always succeeds: what is to be refused for lack of memory is refused before (LM-8).
  Block Take(BlockSize size);

  MemoryBudget& budget() const { return budget_; }
  size_t lent_blocks() const { return lent_blocks_; }

  static constexpr size_t Bytes(BlockSize size) {
    constexpr size_t kBytes[] = {kTinyBytes, kSmallBytes, kLargeBytes};
    return kBytes[static_cast<size_t>(size)];
  }

 private:
  friend class Block;
  void Return(char* data, BlockSize size);

  MemoryBudget& budget_;
  std::vector<char*> free_[3];
  size_t free_bytes_ = 0;  // of all
  size_t lent_blocks_ = 0;
};

inline size_t Block::size() const { return is_empty() ? 0 : BufferPool::Bytes(size_); }

}  // namespace outrigger::net
