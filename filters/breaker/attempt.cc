#include "filters/breaker/attempt.h"

#include <memory>
#include <optional>

namespace outrigger::breaker {

using common::BreakerClass;
using http::ChunkResult;
using http::StreamOutcome;

namespace {

Outcome ToOutcome(BreakerClass verdict) {
  switch (verdict) {
    case BreakerClass::kSuccess:
      return Outcome::kSuccess;
    case BreakerClass::kFailure:
      return Outcome::kFailure;
    case BreakerClass::kThrottled:
      return Outcome::kThrottled;
    case BreakerClass::kIgnore:
      break;
  }
  return Outcome::kIgnore;
}

void EndAttempt(Attempt& attempt, StreamOutcome outcome) {
  switch (outcome) {
    case StreamOutcome::kComplete:
    case StreamOutcome::kClientGone:
      return;
    case StreamOutcome::kErrorEvent:
    case StreamOutcome::kCut:
    case StreamOutcome::kStall:
      break;
  }
  if (attempt.is_judged()) {
    attempt.FailLate();
  } else {
    attempt.Judge(BreakerClass::kFailure, attempt.IsSlowNow());
  }
}

class BodyLease final : public http::Lease {
 public:
  explicit BodyLease(Attempt attempt) : attempt_(std::move(attempt)) {}
  void OnStreamEnd(StreamOutcome outcome) override { EndAttempt(attempt_, outcome); }

 private:
  Attempt attempt_;
};

// Of a stream that was passed on before it had shown any content: shared by the body, which sees
// the content come, and the lease, which sees the end.
class OpeningLease final : public http::Lease {
 public:
  explicit OpeningLease(std::shared_ptr<Attempt> attempt) : attempt_(std::move(attempt)) {}
  void OnStreamEnd(StreamOutcome outcome) override { EndAttempt(*attempt_, outcome); }

 private:
  const std::shared_ptr<Attempt> attempt_;
};

class OpeningBody final : public http::Body {
 public:
  OpeningBody(std::unique_ptr<http::Body> inner, const http::StreamState& stream,
              http::Effects effects, std::shared_ptr<Attempt> attempt)
      : inner_(std::move(inner)),
        stream_(stream),
        effects_(effects),
        attempt_(std::move(attempt)) {}

  Task<ChunkResult> Read() override {
    ChunkResult chunk = co_await inner_->Read();
    if (!attempt_->is_judged()) Observe(chunk);
    co_return chunk;
  }
  const http::HeaderList* trailers() const override { return inner_->trailers(); }

 private:
  void Observe(const ChunkResult& chunk) {
    if (stream_.content_events > 0) {
      attempt_->Judge(BreakerClass::kSuccess, attempt_->IsSlowAt(stream_.first_content));
    } else if (!chunk.ok()) {
      const common::Verdict verdict = Decide(common::ClassifyFailure(chunk.error()), effects_);
      attempt_->Judge(verdict.breaker, verdict.is_slow || attempt_->IsSlowNow());
    } else if (chunk->is_last) {
      attempt_->Judge(stream_.is_complete ? BreakerClass::kSuccess : BreakerClass::kFailure,
                      attempt_->IsSlowNow());
    }
  }

  const std::unique_ptr<http::Body> inner_;
  const http::StreamState& stream_;  // owned by inner_
  const http::Effects effects_;
  const std::shared_ptr<Attempt> attempt_;
};

}  // namespace

Attempt::~Attempt() {
  if (is_judged_) return;
  const MonoTime now = loop_->Now();
  if (now >= limits_.route_deadline) {
    permit_.Record(Outcome::kFailure, true, now);
  } else if (IsSlowAt(now)) {
    permit_.Record(Outcome::kIgnore, true, now);
  }
}

void Attempt::Judge(BreakerClass verdict, bool is_slow) {
  if (std::exchange(is_judged_, true)) return;
  is_good_ = verdict == BreakerClass::kSuccess;
  permit_.Record(ToOutcome(verdict), is_slow, loop_->Now());
}

void Attempt::FailLate() {
  if (std::exchange(is_good_, false)) permit_.RecordLateFailure(loop_->Now());
}

void WatchBody(Attempt attempt, http::Effects effects, http::Response& response) {
  if (attempt.is_judged()) {
    // What is in memory as a whole cannot be cut any more.
    if (!response.has_body || response.body->Peek().has_value()) return;
    response.Hold(std::make_unique<BodyLease>(std::move(attempt)));
    return;
  }
  auto shared = std::allocate_shared<Attempt>(PooledAllocator<Attempt>(), std::move(attempt));
  response.body =
      std::make_unique<OpeningBody>(std::move(response.body), *response.stream, effects, shared);
  response.Hold(std::make_unique<OpeningLease>(std::move(shared)));
}

}  // namespace outrigger::breaker
