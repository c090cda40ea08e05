#include "filters/idempotency/packed_headers.h"

#include <algorithm>

namespace outrigger::idempotency {

PackedHeaders::PackedHeaders(const http::HeaderList& headers) {
  for (const http::HeaderField& field : headers) {
    bytes_ += sizeof(Prefix) + field.name.size() + field.value.size();
  }
  if (bytes_ == 0) return;
  block_ = {static_cast<char*>(PooledAllocate(bytes_)), FreePooled{bytes_}};
  char* at = block_.get();
  for (const http::HeaderField& field : headers) {
    // A head is smaller than 64 KiB as a whole (PR-8).
    const Prefix prefix{static_cast<uint32_t>(field.value.size()),
                        static_cast<uint16_t>(field.name.size()), field.id};
    std::memcpy(at, &prefix, sizeof(prefix));
    at += sizeof(prefix);
    at = std::copy(field.name.begin(), field.name.end(), at);
    at = std::copy(field.value.begin(), field.value.end(), at);
  }
}

}  // namespace outrigger::idempotency
