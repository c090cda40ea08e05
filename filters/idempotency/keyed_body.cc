#include "filters/idempotency/keyed_body.h"

namespace outrigger::idempotency {

Task<http::ChunkResult> OwnedBody::Read() {
  is_read_ = true;
  co_return http::Chunk{bytes_, true};
}

// While a frame waits for the client's next bytes.
class FingerprintingBody::ReadingMark {
 public:
  explicit ReadingMark(bool& is_reading) : is_reading_(is_reading) { is_reading_ = true; }
  ReadingMark(const ReadingMark&) = delete;
  ReadingMark& operator=(const ReadingMark&) = delete;
  ~ReadingMark() { is_reading_ = false; }

 private:
  bool& is_reading_;
};

Task<http::ChunkResult> FingerprintingBody::Read() {
  if (inner_ == nullptr) co_return http::Chunk{rest_, true};
  const ReadingMark mark(is_reading_);
  http::ChunkResult chunk = co_await inner_->Read();
  if (chunk.ok()) Note(*chunk);
  co_return chunk;
}

void FingerprintingBody::Note(const http::Chunk& chunk) {
  received_ += chunk.data.size();
  if (!is_read_) {
    fingerprinter_.Update(chunk.data);
    is_read_ = chunk.is_last || received_ == length_;
    if (is_read_) listener_.OnRequestRead(fingerprinter_.Finish());
  }
  if (chunk.is_last) listener_.OnRequestEnded();
}

const http::HeaderList* FingerprintingBody::trailers() const {
  if (inner_ != nullptr) return inner_->trailers();
  return rest_trailers_.empty() ? nullptr : &rest_trailers_;
}

bool FingerprintingBody::TakeRest(Arena& arena, MemoryBudget& budget) {
  // Who waits for bytes has read all that came.
  if (is_reading_) return false;
  for (;;) {
    const std::optional<http::ChunkResult> chunk = inner_->TryRead();
    if (!chunk.has_value() || !chunk->ok()) return false;
    const http::Chunk& received = **chunk;
    rest_.append(received.data);
    Note(received);
    if (received.is_last) break;
  }
  if (const http::HeaderList* trailers = inner_->trailers(); trailers != nullptr) {
    rest_trailers_ = *trailers;
    rest_trailers_.CopyInto(arena);
  }
  inner_.reset();
  rest_charge_ = BudgetLease(&budget);
  rest_charge_.Grow(rest_.capacity());
  return true;
}

}  // namespace outrigger::idempotency
