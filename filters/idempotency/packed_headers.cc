#include "filters/idempotency/packed_headers.h"

#include <algorithm>

namespace outrigger::idempotency {

PackedHeaders::PackedHeaders(const http::HeaderList& headers) {
  for (const http::HeaderField& field : headers) {
    bytes_ += sizeof(Lengths) + field.name.size() + field.value.size();
  }
  if (bytes_ == 0) return;
  block_.reset(new char[bytes_]);
  char* at = block_.get();
  for (const http::HeaderField& field : headers) {
    const Lengths lengths{static_cast<uint32_t>(field.name.size()),
                          static_cast<uint32_t>(field.value.size())};
    std::memcpy(at, &lengths, sizeof(lengths));
    at += sizeof(lengths);
    at = std::copy(field.name.begin(), field.name.end(), at);
    at = std::copy(field.value.begin(), field.value.end(), at);
  }
}

}  // namespace outrigger::idempotency
