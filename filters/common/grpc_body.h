// The body of the answer to a gRPC call, observed: whether messages have come, and the status at
// its end.
//
//   GrpcBody body(std::move(response.body), response.has_body, response.headers);
//   co_await body.ReadOpening();                 // reads ahead until something can be said
//   body.state().status                          // 14: nothing was passed on yet
//
// Chunks pass unchanged and uncopied. One worker.

#pragma once

#include <memory>
#include <optional>

#include "proxy/http/body.h"
#include "proxy/http/grpc_state.h"

namespace outrigger::common {

class GrpcBody final : public http::Body {
 public:
  // Without a body `inner`, which may be null, only keeps alive what the head views.
  GrpcBody(std::unique_ptr<http::Body> inner, bool has_body, const http::HeaderList& head);

  const http::GrpcState& state() const { return state_; }
  // Why it ended before any message.
  const std::optional<http::Failure>& failure() const { return failure_; }
  // The first bytes of a message, the end or a failure are here.
  bool is_open() const { return state_.has_message || state_.is_ended || failure_.has_value(); }

  // Takes what is in memory already.
  void LookAhead();
  // Waits until is_open(). May be dropped while it waits without losing a byte.
  Task<bool> ReadOpening();

  Task<http::ChunkResult> Read() override;
  std::optional<http::ChunkResult> TryRead() override;
  const http::HeaderList* trailers() const override {
    return has_body_ ? inner_->trailers() : nullptr;
  }

 private:
  void Observe(const http::ChunkResult& chunk);

  const std::unique_ptr<http::Body> inner_;
  const bool has_body_;
  http::GrpcState state_;
  std::optional<http::Failure> failure_;
  std::optional<http::ChunkResult> held_;  // read ahead; nothing was read behind it
};

}  // namespace outrigger::common
