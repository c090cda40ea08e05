// A caller's response that comes from a recording: the first caller's, a joiner's, a replay.
//
//   std::unique_ptr<RecordedBody> body = ...(loop, std::move(reader), std::move(link));
//   response.body = std::move(body);
//
// Bytes are handed out where they are recorded, without a copy; they count as passed, for the pace
// of an overflowed recording, when the next ones are asked for. Dropping the body leaves the
// recording. One worker; the recording's writer may be on another one.

#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "filters/idempotency/caller_link.h"
#include "filters/idempotency/loop_waiter.h"
#include "filters/idempotency/recording_reader.h"
#include "proxy/http/body.h"
#include "proxy/http/stream_state.h"

namespace outrigger::idempotency {

class RecordedBody final : public http::Body {
 public:
  // `link`: of the first caller, else null. REQUIRES: the recording has its head.
  RecordedBody(Loop& loop, std::unique_ptr<RecordingReader> reader,
               std::unique_ptr<CallerLink> link)
      : loop_(loop), waiter_(loop), reader_(std::move(reader)), link_(std::move(link)) {}

  Task<http::ChunkResult> Read() override;
  const http::HeaderList* trailers() const override {
    return trailers_.empty() ? nullptr : &trailers_;
  }

  // Of an event stream; up to date with each chunk.
  const http::StreamState& stream() const { return stream_; }

 private:
  void UpdateStream();
  http::Chunk AtEnd(std::string_view data);

  Loop& loop_;
  SignalWaiter waiter_;
  // Goes before the waiter that it may wake; holds the segment of the chunk handed out.
  const std::unique_ptr<RecordingReader> reader_;
  http::HeaderList trailers_;
  http::StreamState stream_;
  const std::unique_ptr<CallerLink> link_;
};

}  // namespace outrigger::idempotency
