#include "filters/idempotency/recorded_body.h"

namespace outrigger::idempotency {

Task<http::ChunkResult> RecordedBody::Read() {
  for (;;) {
    const ReadResult read = reader_->Next(waiter_);
    switch (read.state) {
      case ReadResult::State::kData:
        UpdateStream();
        // Data and end together leave in one send.
        if (reader_->IsAtEnd()) co_return AtEnd(read.data);
        co_return http::Chunk{read.data, false};
      case ReadResult::State::kEnd:
        UpdateStream();
        co_return AtEnd({});
      case ReadResult::State::kFailed:
        UpdateStream();
        co_return reader_->failure();
      case ReadResult::State::kWait:
        break;
    }
    co_await waiter_.Wait();
  }
}

http::Chunk RecordedBody::AtEnd(std::string_view data) {
  reader_->trailers().AppendTo(trailers_);
  return {data, true};
}

void RecordedBody::UpdateStream() {
  if (!reader_->recording().head().traits.is_stream) return;
  const MonoTime first_content = stream_.first_content;
  const bool had_content = stream_.content_events > 0;
  stream_ = reader_->stream();
  // When this caller had it: the recording may be older than its request.
  if (stream_.content_events > 0) {
    stream_.first_content = had_content ? first_content : loop_.PreciseNow();
  }
}

}  // namespace outrigger::idempotency
