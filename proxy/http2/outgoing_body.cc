#include "proxy/http2/outgoing_body.h"

#include <algorithm>
#include <utility>

#include "proxy/http2/field_block.h"
#include "proxy/http2/session.h"

namespace outrigger::http2 {

void OutgoingBody::Append(std::string_view data) {
  if (data.empty()) return;
  lease_.Grow(data.size());
  kept_.insert(kept_.end(), data.begin(), data.end());
}

void OutgoingBody::Keep() {
  const std::string_view rest = std::exchange(lent_, {});
  Append(rest);
}

void OutgoingBody::Finish(const http::HeaderList* trailers) {
  is_finished_ = true;
  if (trailers == nullptr) return;
  for (const http::HeaderField& field : *trailers) trailers_.Add(field);
  trailers_.CopyInto(trailer_arena_);
}

void OutgoingBody::Clear() {
  kept_ = {};
  kept_sent_ = 0;
  lent_ = {};
  lease_.Clear();
}

std::string_view OutgoingBody::Front(size_t bytes) const {
  // Lent bytes are lent to an empty body, so there is one piece.
  if (!lent_.empty()) return lent_.substr(0, bytes);
  return {kept_.data() + kept_sent_, std::min(bytes, kept_.size() - kept_sent_)};
}

void OutgoingBody::Consume(size_t bytes) {
  if (!lent_.empty()) {
    lent_.remove_prefix(bytes);
    return;
  }
  kept_sent_ += bytes;
  if (kept_sent_ == kept_.size()) Clear();
}

ssize_t OutgoingBody::OnRead(nghttp2_session*, int32_t stream_id, uint8_t*, size_t length,
                             uint32_t* flags, nghttp2_data_source* source, void* user_data) {
  auto& body = *static_cast<OutgoingBody*>(source->ptr);
  const size_t bytes = std::min(length, body.size());
  if (bytes == 0 && !body.is_finished_) {
    body.is_deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  body.is_deferred_ = false;
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (!body.is_finished_ || bytes < body.size()) return static_cast<ssize_t>(bytes);
  *flags |= NGHTTP2_DATA_FLAG_EOF;
  if (!body.trailers_.empty()) {
    FieldBlock block;
    if (!block.AddTrailers(body.trailers_)) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    if (static_cast<Session*>(user_data)->SubmitTrailers(stream_id, block) != 0) {
      return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
  }
  return static_cast<ssize_t>(bytes);
}

}  // namespace outrigger::http2
