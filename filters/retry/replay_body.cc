#include "filters/retry/replay_body.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace outrigger::retry {

using http::Chunk;
using http::ChunkResult;

ReplayBody::ReplayBody(std::unique_ptr<http::Body> live, std::optional<uint64_t> length,
                       const Limits& limits)
    : live_(std::move(live)),
      max_bytes_(limits.max_bytes),
      pool_(limits.pool),
      memory_lease_(limits.memory),
      pool_lease_(pool_.get()),
      is_keeping_(length.value_or(0) <= limits.max_bytes) {}

Task<ChunkResult> ReplayBody::Read() {
  is_view_kept_ = position_ < kept_bytes_;
  if (is_view_kept_) co_return NextKept();
  if (is_released_) GiveUp();
  if (failure_.has_value()) co_return *failure_;
  if (is_ended_) co_return Chunk{{}, true};
  ChunkResult chunk = co_await live_->Read();
  if (!chunk.ok()) {
    failure_ = chunk.error();
    co_return chunk;
  }
  if (!chunk->data.empty()) {
    if (is_keeping_) Keep(chunk->data);
    is_read_ = true;
  }
  is_ended_ = chunk->is_last;
  co_return chunk;
}

std::optional<std::string_view> ReplayBody::Peek() const {
  return is_read_ || is_ended_ ? std::nullopt : live_->Peek();
}

void ReplayBody::Release() {
  is_released_ = true;
  is_keeping_ = false;
  // What was handed on last may be a view into a block; those go with the next read.
  if (position_ < kept_bytes_ || is_view_kept_) return;
  GiveUp();
}

void ReplayBody::Keep(std::string_view data) {
  if (data.size() > max_bytes_ - kept_bytes_) {
    GiveUp();
    return;
  }
  while (!data.empty()) {
    const size_t used = kept_bytes_ % kBlockBytes;
    if (used == 0) {
      if (!memory_lease_.TryGrow(kBlockBytes, kMemoryPercent) ||
          !pool_lease_.TryGrow(kBlockBytes)) {
        GiveUp();
        return;
      }
      blocks_.push_back(std::make_unique<Block>());
    }
    const size_t part = std::min(data.size(), kBlockBytes - used);
    std::memcpy(blocks_.back()->bytes + used, data.data(), part);
    kept_bytes_ += part;
    data.remove_prefix(part);
  }
  position_ = kept_bytes_;
}

void ReplayBody::GiveUp() {
  is_keeping_ = false;
  blocks_.clear();
  blocks_.shrink_to_fit();
  memory_lease_.Clear();
  pool_lease_.Clear();
  kept_bytes_ = 0;
  position_ = 0;
}

Chunk ReplayBody::NextKept() {
  const size_t offset = position_ % kBlockBytes;
  const size_t part = std::min(kBlockBytes - offset, kept_bytes_ - position_);
  const char* at = blocks_[position_ / kBlockBytes]->bytes + offset;
  position_ += part;
  return {{at, part}, is_ended_ && position_ == kept_bytes_};
}

}  // namespace outrigger::retry
