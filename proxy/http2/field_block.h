// Fields on their way into a HEADERS frame.
//
//   FieldBlock block;
//   block.AddStatus(200);
//   if (!block.AddFields(headers)) -> a field that must not be written
//   nghttp2_submit_response(session, id, block.data(), block.size(), &provider);
//
// Views only, but for names that had capital letters: nghttp2 copies when the block is submitted,
// unless it is told that it need not (SetFlags). Fields that end at this hop (RFC 9113, 8.2.2) and
// Content-Length, which is said anew, are left out. What a reader could take for another field
// gives false: a name that is not a token, a value with a control character or with white space
// around it. Pure.

#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "proxy/base/pooled.h"
#include "proxy/http/headers.h"
#include "proxy/http2/field_repetition.h"

namespace outrigger::http2 {

class FieldBlock {
 public:
  FieldBlock() { fields_.reserve(kUsualFields); }
  FieldBlock(const FieldBlock&) = delete;
  FieldBlock& operator=(const FieldBlock&) = delete;

  void AddStatus(int status);
  void AddContentLength(uint64_t length);
  // A pseudo-field or another one that is known to be good; `value` stays until the block is used.
  // `name` is a literal in lower case.
  void Add(std::string_view name, std::string_view value) { Push(name, value); }
  // `skipped`: further ids that are left out.
  [[nodiscard]] bool AddFields(const http::HeaderList& headers, http::HeaderIdSet skipped = {});
  [[nodiscard]] bool AddTrailers(const http::HeaderList& trailers);

  // What stays where it is until the block was sent.
  enum class Stays : uint8_t { kNothing, kFields, kFieldsAndBlock };
  // Before the block is submitted: keeps what is not said again out of the peer's table.
  void SetFlags(FieldRepetition& repetition, Stays stays);

  const nghttp2_nv* data() const { return fields_.data(); }
  size_t size() const { return fields_.size(); }

 private:
  static constexpr size_t kUsualFields = 24;
  static constexpr size_t kNameBytes = 512;

  // False: it must not be sent.
  bool AddChecked(const http::HeaderField& field);
  void Push(std::string_view name, std::string_view value);
  // The same in lower case, in names_, or as it is when there is no room.
  std::string_view Lower(std::string_view name);
  bool IsOfBlock(const uint8_t* name) const;

  std::vector<nghttp2_nv, PooledAllocator<nghttp2_nv>> fields_;
  size_t raw_from_ = SIZE_MAX;  // from this field on, names may have capital letters
  size_t names_used_ = 0;
  char names_[kNameBytes];
  char status_[3];
  char length_[20];
};

}  // namespace outrigger::http2
