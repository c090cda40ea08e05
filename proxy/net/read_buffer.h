// Received bytes that are not consumed yet, in one pooled block.
//
//   buffer.Prepare(pool, BlockSize::kSmall);
//   ssize_t n = recv(fd, buffer.room_begin(), buffer.room(), 0);
//   buffer.Commit(n);
//   Parse(buffer.view());
//   buffer.Consume(parsed);
//
// The block goes back to the pool as soon as everything is consumed. Views from view() are valid
// until Prepare(), Grow() or the Consume() that empties the buffer. One worker.

#pragma once

#include <cstring>
#include <string_view>
#include <utility>

#include "proxy/net/buffer_pool.h"

namespace outrigger::net {

class ReadBuffer {
 public:
  ReadBuffer() = default;
  ReadBuffer(ReadBuffer&& other) noexcept
      : block_(std::move(other.block_)),
        begin_(std::exchange(other.begin_, 0)),
        end_(std::exchange(other.end_, 0)) {}
  ReadBuffer& operator=(ReadBuffer&& other) noexcept {
    block_ = std::move(other.block_);
    begin_ = std::exchange(other.begin_, 0);
    end_ = std::exchange(other.end_, 0);
    return *this;
  }

  // Makes sure that there is room: takes a block when there is none, moves the bytes to the front
  // when they stand at the end. REQUIRES: !is_full().
  void Prepare(BufferPool& pool, BlockSize size) {
    if (block_.is_empty()) {
      block_ = pool.Take(size);
    } else if (end_ == block_.size()) {
      std::memmove(block_.data(), block_.data() + begin_, end_ - begin_);
      end_ -= begin_;
      begin_ = 0;
    }
  }

  // Moves the bytes into a larger block. REQUIRES: they fit.
  void Grow(BufferPool& pool, BlockSize size = BlockSize::kLarge) {
    Block larger = pool.Take(size);
    std::memcpy(larger.data(), block_.data() + begin_, end_ - begin_);
    block_ = std::move(larger);
    end_ -= begin_;
    begin_ = 0;
  }

  char* room_begin() const { return block_.data() + end_; }
  size_t room() const { return block_.size() - end_; }
  void Commit(size_t bytes) { end_ += static_cast<uint32_t>(bytes); }

  std::string_view view() const { return {block_.data() + begin_, end_ - begin_}; }
  size_t size() const { return end_ - begin_; }
  bool empty() const { return begin_ == end_; }
  bool has_block() const { return !block_.is_empty(); }
  // Not a byte more fits, even after moving.
  bool is_full() const { return !block_.is_empty() && size() == block_.size(); }
  size_t capacity() const { return block_.size(); }

  void Consume(size_t bytes) {
    begin_ += static_cast<uint32_t>(bytes);
    if (begin_ == end_) Clear();
  }
  void Clear() {
    begin_ = end_ = 0;
    block_.Clear();
  }

 private:
  Block block_;
  uint32_t begin_ = 0;
  uint32_t end_ = 0;
};

}  // namespace outrigger::net
