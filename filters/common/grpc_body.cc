#include "filters/common/grpc_body.h"

#include <utility>

#include "proxy/grpc/status.h"

namespace outrigger::common {

using http::ChunkResult;

GrpcBody::GrpcBody(std::unique_ptr<http::Body> inner, bool has_body, const http::HeaderList& head)
    : inner_(std::move(inner)), has_body_(has_body) {
  if (has_body_) return;
  state_.status = grpc::StatusIn(head);
  state_.is_ended = true;
}

void GrpcBody::LookAhead() {
  while (!is_open()) {
    std::optional<ChunkResult> chunk = inner_->TryRead();
    if (!chunk.has_value()) return;
    Observe(*chunk);
    held_ = std::move(chunk);
  }
}

Task<bool> GrpcBody::ReadOpening() {
  while (!is_open()) {
    ChunkResult chunk = co_await inner_->Read();
    Observe(chunk);
    held_.emplace(std::move(chunk));
  }
  co_return true;
}

Task<ChunkResult> GrpcBody::Read() {
  if (held_.has_value()) {
    ChunkResult held = std::move(*held_);
    held_.reset();
    co_return held;
  }
  ChunkResult chunk = co_await inner_->Read();
  Observe(chunk);
  co_return chunk;
}

std::optional<ChunkResult> GrpcBody::TryRead() {
  if (held_.has_value()) return std::exchange(held_, std::nullopt);
  std::optional<ChunkResult> chunk = inner_->TryRead();
  if (chunk.has_value()) Observe(*chunk);
  return chunk;
}

void GrpcBody::Observe(const ChunkResult& chunk) {
  if (!chunk.ok()) {
    failure_ = chunk.error();
    return;
  }
  if (!chunk->data.empty()) state_.has_message = true;
  if (!chunk->is_last) return;
  state_.is_ended = true;
  state_.trailers = inner_->trailers();
  if (state_.trailers != nullptr) state_.status = grpc::StatusIn(*state_.trailers);
}

}  // namespace outrigger::common
