#include "filters/timeout/timed_body.h"

#include <utility>

namespace outrigger::timeout {

using http::ChunkResult;
using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;

// One outstanding read: runs the clock for as long as it lives.
class TimedBody::Reading {
 public:
  Reading(TimedBody& body, Abortable<ChunkResult>& read) : body_(body), read_(read) {
    body_.read_began_ = body_.parts_.loop.Now();
    body_.reading_ = this;
    if (body_.idle_.is_armed() || body_.rest_.is_armed()) return;
    if (body_.has_content() && body_.waited_ == absl::ZeroDuration()) {
      body_.parts_.inter_token.Arm(body_.idle_);
    } else {
      body_.ArmRest();
    }
  }
  ~Reading() {
    body_.waited_ = body_.Waited();
    body_.reading_ = nullptr;
  }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;

  void Abort() { read_.Abort(); }

 private:
  TimedBody& body_;
  Abortable<ChunkResult>& read_;
};

TimedBody::TimedBody(Parts parts, std::unique_ptr<http::Body> inner,
                     const http::StreamState& stream, absl::Duration ttft, absl::Duration elapsed)
    : parts_(std::move(parts)),
      inner_(std::move(inner)),
      stream_(stream),
      ttft_(ttft),
      seen_content_events_(stream.content_events),
      waited_(stream.content_events > 0 ? absl::ZeroDuration() : elapsed),
      idle_([this] { OnDeadline(); }),
      rest_(parts_.loop, *this) {}

Task<ChunkResult> TimedBody::Read() {
  std::optional<ChunkResult> chunk;
  {
    Abortable<ChunkResult> read(inner_->Read());
    Reading reading(*this, read);
    std::optional<ChunkResult> result = co_await read;
    chunk = std::move(result);
  }
  if (!chunk.has_value()) {
    idle_.Unlink();
    rest_.Disarm();
    const bool is_idle = has_content();
    if (!is_idle && parts_.adaptive != nullptr) {
      parts_.adaptive->RecordCut(waited_, parts_.loop.Now());
    }
    parts_.metrics.Increment(parts_.standard_metrics.timeouts.At(
        is_idle ? metrics::TimeoutTier::kInterToken : metrics::TimeoutTier::kTtft));
    co_return Failure{.reason = is_idle ? Reason::kInterTokenTimeout : Reason::kTtftTimeout,
                      .phase = Phase::kBody,
                      .executed = is_idle ? Executed::kYes : Executed::kMaybe};
  }
  OnChunk();
  co_return std::move(*chunk);
}

absl::Duration TimedBody::Waited() const {
  return reading_ == nullptr ? waited_ : waited_ + (parts_.loop.Now() - read_began_);
}

void TimedBody::ArmRest() {
  if (limit() == absl::InfiniteDuration()) return;
  rest_.Arm(parts_.loop.Now() + (limit() - Waited()));
}

// Both timers come at the limit or, when there were pauses, before it; never after.
void TimedBody::OnDeadline() {
  // The next read arms again.
  if (reading_ == nullptr) return;
  if (Waited() < limit()) {
    ArmRest();
    return;
  }
  reading_->Abort();
}

void TimedBody::OnChunk() {
  if (stream_.content_events == seen_content_events_) return;
  if (seen_content_events_ == 0 && parts_.adaptive != nullptr) {
    parts_.adaptive->Record(waited_, parts_.loop.Now());
  }
  seen_content_events_ = stream_.content_events;
  waited_ = absl::ZeroDuration();
  idle_.Unlink();
  rest_.Disarm();
}

}  // namespace outrigger::timeout
