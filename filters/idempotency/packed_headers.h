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

#include "proxy/http/headers.h"

namespace outrigger::idempotency {

class PackedHeaders {
 public:
  PackedHeaders() = default;
  explicit PackedHeaders(const http::HeaderList& headers);

  size_t bytes() const { return bytes_; }
  bool empty() const { return bytes_ == 0; }

  // Calls visit(name, value) in the original order.
  template <class Visit>
  void ForEach(Visit visit) const {
    const char* at = block_.get();
    const char* const end = at + bytes_;
    while (at != end) {
      Lengths lengths;
      std::memcpy(&lengths, at, sizeof(lengths));
      at += sizeof(lengths);
      visit(std::string_view(at, lengths.name), std::string_view(at + lengths.name, lengths.value));
      at += lengths.name + lengths.value;
    }
  }
  void AppendTo(http::HeaderList& list) const {
    ForEach([&](std::string_view name, std::string_view value) { list.Add(name, value); });
  }

 private:
  struct Lengths {
    uint32_t name;
    uint32_t value;
  };

  std::unique_ptr<char[]> block_;
  size_t bytes_ = 0;
};

}  // namespace outrigger::idempotency
