// Header fields copied into one block, for an answer that is kept.
//
//   PackedHeaders packed(response.headers);
//   packed.AppendTo(list);      // views into the block
//
// Immutable, so any thread may read it. One allocation; nothing when there are no fields.

#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

#include "proxy/base/pooled.h"
#include "proxy/http/headers.h"

namespace outrigger::idempotency {

struct FreePooled {
  size_t bytes = 0;
  void operator()(char* block) const { PooledFree(block, bytes); }
};

class PackedHeaders {
 public:
  PackedHeaders() = default;
  explicit PackedHeaders(const http::HeaderList& headers);

  size_t bytes() const { return bytes_; }
  bool empty() const { return bytes_ == 0; }

  // Calls visit(field) in the original order.
  template <class Visit>
  void ForEach(Visit visit) const {
    const char* at = block_.get();
    const char* const end = at + bytes_;
    while (at != end) {
      Prefix prefix;
      std::memcpy(&prefix, at, sizeof(prefix));
      at += sizeof(prefix);
      visit(http::HeaderField{
          {at, prefix.name_bytes}, {at + prefix.name_bytes, prefix.value_bytes}, prefix.id});
      at += prefix.name_bytes + prefix.value_bytes;
    }
  }
  void AppendTo(http::HeaderList& list) const {
    ForEach([&](const http::HeaderField& field) { list.Add(field); });
  }

 private:
  // Before each field.
  struct Prefix {
    uint32_t value_bytes;
    uint16_t name_bytes;
    http::HeaderId id;
  };
  std::unique_ptr<char, FreePooled> block_;
  size_t bytes_ = 0;
};

}  // namespace outrigger::idempotency
