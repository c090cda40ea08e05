#include "filters/breaker/grpc_attempt.h"

#include <memory>
#include <utility>

#include "filters/common/answer.h"
#include "proxy/base/pooled.h"

namespace outrigger::breaker {

using common::BreakerClass;
using http::ChunkResult;
using http::StreamOutcome;

namespace {

// The attempt, and what it is judged by; shared by the body, which sees messages come, and the
// lease, which sees the end.
class Call {
 public:
  Call(Attempt attempt, http::Effects effects, const http::GrpcState& state)
      : attempt_(std::move(attempt)), effects_(effects), state_(state) {}

  void Observe() {
    if (attempt_.is_judged()) return;
    if (state_.is_ended) {
      JudgeByStatus();
    } else if (state_.has_message) {
      attempt_.Judge(BreakerClass::kSuccess, attempt_.IsSlowNow());
    }
  }
  void End(StreamOutcome outcome) {
    if (outcome == StreamOutcome::kClientGone) return;
    if (outcome == StreamOutcome::kComplete && state_.is_ended) {
      JudgeByStatus();
    } else {
      Fail();
    }
  }

 private:
  void JudgeByStatus() {
    const BreakerClass verdict = Decide(common::ClassifyGrpcAnswer(state_), effects_).breaker;
    if (verdict == BreakerClass::kFailure) {
      Fail();
    } else {
      attempt_.Judge(verdict, verdict == BreakerClass::kSuccess && attempt_.IsSlowNow());
    }
  }
  void Fail() {
    if (attempt_.is_judged()) {
      attempt_.FailLate();
    } else {
      attempt_.Judge(BreakerClass::kFailure, attempt_.IsSlowNow());
    }
  }

  Attempt attempt_;
  const http::Effects effects_;
  const http::GrpcState& state_;  // owned by the body, which goes after the leases
};

class CallLease final : public http::Lease {
 public:
  explicit CallLease(std::shared_ptr<Call> call) : call_(std::move(call)) {}
  void OnStreamEnd(StreamOutcome outcome) override { call_->End(outcome); }

 private:
  const std::shared_ptr<Call> call_;
};

class CallBody final : public http::Body {
 public:
  CallBody(std::unique_ptr<http::Body> inner, std::shared_ptr<Call> call)
      : inner_(std::move(inner)), call_(std::move(call)) {}

  Task<ChunkResult> Read() override {
    ChunkResult chunk = co_await inner_->Read();
    call_->Observe();
    co_return chunk;
  }
  std::optional<ChunkResult> TryRead() override {
    std::optional<ChunkResult> chunk = inner_->TryRead();
    if (chunk.has_value()) call_->Observe();
    return chunk;
  }
  const http::HeaderList* trailers() const override { return inner_->trailers(); }

 private:
  const std::unique_ptr<http::Body> inner_;
  const std::shared_ptr<Call> call_;
};

}  // namespace

void WatchGrpc(Attempt attempt, http::Effects effects, http::Response& response) {
  const http::GrpcState& state = *response.grpc;
  if (state.is_ended) {
    attempt.Judge(BreakerClass::kSuccess, attempt.IsSlowNow());
    return;
  }
  auto call =
      std::allocate_shared<Call>(PooledAllocator<Call>(), std::move(attempt), effects, state);
  call->Observe();
  if (!state.has_message)
    response.body = std::make_unique<CallBody>(std::move(response.body), call);
  response.Hold(std::make_unique<CallLease>(std::move(call)));
}

}  // namespace outrigger::breaker
