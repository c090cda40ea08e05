#include "filters/idempotency/paced_body.h"

#include <algorithm>

namespace outrigger::idempotency {

Task<http::ChunkResult> PacedBody::Read() {
  while (rest_.empty() && !has_last_) {
    http::ChunkResult chunk = co_await recorded_->Read();
    if (!chunk.ok()) co_return chunk;
    rest_ = chunk->data;
    has_last_ = chunk->is_last;
  }
  if (!std::exchange(has_begun_, true)) began_ = loop_.Now();
  while (next_mark_ < pace_.size() && pace_[next_mark_].end <= sent_) ++next_mark_;
  uint64_t bytes = rest_.size();
  if (next_mark_ < pace_.size()) {
    const PaceMark& mark = pace_[next_mark_];
    const absl::Duration wait = began_ + mark.after - loop_.Now();
    co_await loop_.Sleep(wait);
    bytes = std::min(bytes, mark.end - sent_);
  }
  const std::string_view piece = rest_.substr(0, bytes);
  rest_.remove_prefix(piece.size());
  sent_ += piece.size();
  stream_ = recorded_->stream();
  // Of what was recorded behind this piece nothing is known but its end.
  if (!rest_.empty()) stream_.is_at_event_boundary = false;
  co_return http::Chunk{piece, has_last_ && rest_.empty()};
}

}  // namespace outrigger::idempotency
