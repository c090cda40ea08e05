#include "filters/idempotency/keyed_body.h"

namespace outrigger::idempotency {

Task<http::ChunkResult> OwnedBody::Read() {
  is_read_ = true;
  co_return http::Chunk{bytes_, true};
}

Task<http::ChunkResult> FingerprintingBody::Read() {
  http::ChunkResult chunk = co_await inner_->Read();
  if (chunk.ok()) {
    fingerprinter_.Update(chunk->data);
    if (chunk->is_last) listener_.OnRequestRead(fingerprinter_.Finish());
  }
  co_return chunk;
}

}  // namespace outrigger::idempotency
