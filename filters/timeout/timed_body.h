// Bounds the silences of an event stream while it is read: the time to its first content event and
// the time between two of them (semantics TO-4, TO-5).
//
// What counts as silence: the time during which a Read() was outstanding since the last content
// event; before the first one, also what the attempt had taken when the body was wrapped. Pings,
// comments and preambles do not end it. Time between two reads, while the client or the proxy is
// slow, does not count, however often it interrupts. When the limit is reached, the Read() returns
// a Failure of Phase::kBody with kTtftTimeout or kInterTokenTimeout, and counts it.
//
// Cost of a stream in steady state: one re-arming of a FIFO entry for each content event. The timer
// of the loop is used before the first content only, and for what is left after a pause.
//
// Needs only what lives as long as the worker. One worker; dropping a read stops its clock.

#pragma once

#include <memory>

#include "absl/time/time.h"
#include "filters/timeout/adaptive_limit.h"
#include "proxy/coro/abortable.h"
#include "proxy/event/deadline_queue.h"
#include "proxy/http/body.h"
#include "proxy/http/stream_state.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::timeout {

class TimedBody final : public http::Body {
 public:
  struct Parts {
    Loop& loop;
    DeadlineQueue& inter_token;  // its timeout is the limit
    metrics::WorkerMetrics& metrics;
    metrics::StandardMetrics& standard_metrics;
    std::shared_ptr<AdaptiveLimit> adaptive;  // learns; null: nobody does
  };

  // `stream` is owned by `inner`. `elapsed`: of `ttft`, when there was no content yet.
  TimedBody(Parts parts, std::unique_ptr<http::Body> inner, const http::StreamState& stream,
            absl::Duration ttft, absl::Duration elapsed);

  Task<http::ChunkResult> Read() override;
  const http::HeaderList* trailers() const override { return inner_->trailers(); }

 private:
  class Reading;

  class RestTimer final : public Timer {
   public:
    RestTimer(Loop& loop, TimedBody& body) : Timer(loop), body_(body) {}

   private:
    void OnTimer() override { body_.OnDeadline(); }

    TimedBody& body_;
  };

  bool has_content() const { return stream_.content_events > 0; }
  absl::Duration limit() const { return has_content() ? parts_.inter_token.timeout() : ttft_; }
  // Of the silence, up to now.
  absl::Duration Waited() const;
  void ArmRest();
  void OnDeadline();
  void OnChunk();

  const Parts parts_;
  const std::unique_ptr<http::Body> inner_;
  const http::StreamState& stream_;
  const absl::Duration ttft_;
  uint64_t seen_content_events_;
  absl::Duration waited_;       // in reads that are over
  MonoTime read_began_;         // of the outstanding one
  Reading* reading_ = nullptr;  // null: nobody reads
  DeadlineEntry idle_;
  RestTimer rest_;
};

}  // namespace outrigger::timeout
