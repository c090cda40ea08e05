// A replay that takes the time that the stream took (ID-8, `replay_pace: original`): the first bytes
// go at once, and each piece after them when as much time has passed as when it was recorded.
//
//   auto paced = std::make_unique<PacedBody>(loop, std::move(recorded), recording.pace());
//   response.stream = &paced->stream();
//   response.body = std::move(paced);
//
// For those who read a stream as if it were live, as tests of clients do. Somebody who reads slowly
// is not made to wait in addition. Dropping it drops the reader. One worker.

#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "filters/idempotency/recorded_body.h"
#include "filters/idempotency/recording.h"
#include "proxy/event/loop.h"

namespace outrigger::idempotency {

class PacedBody final : public http::Body {
 public:
  // `pace` belongs to the recording that `recorded` reads. REQUIRES: it has ended.
  PacedBody(Loop& loop, std::unique_ptr<RecordedBody> recorded, const std::vector<PaceMark>& pace)
      : loop_(loop), recorded_(std::move(recorded)), pace_(pace) {}

  Task<http::ChunkResult> Read() override;
  const http::HeaderList* trailers() const override { return recorded_->trailers(); }
  const http::StreamState& stream() const { return stream_; }

 private:
  Loop& loop_;
  const std::unique_ptr<RecordedBody> recorded_;
  const std::vector<PaceMark>& pace_;
  http::StreamState stream_;
  MonoTime began_;
  uint64_t sent_ = 0;
  size_t next_mark_ = 0;
  std::string_view rest_;  // of the chunk that was read last
  bool has_begun_ = false;
  bool has_last_ = false;
};

}  // namespace outrigger::idempotency
