// Takes the boundary out of a multipart body while it streams, so that two uploads of the same
// parts hash alike although the client made a new boundary for its retry (semantics ID-2; the
// OpenAI SDK does).
//
//   BoundaryRemover remover(boundary);
//   remover.Update(chunk, [&](std::string_view bytes) { ... }, [&] { ... });
//
// The bytes come out as received, except that each delimiter (CRLF "--" boundary, or "--" boundary
// at the very start; RFC 2046, 5.1.1) is left out and reported instead. What follows a delimiter on
// its line, preamble and epilogue stay. This is defined for every sequence of bytes, so a malformed
// body needs no special case: it passes unchanged except for the boundary.
//
// Chunks may be split anywhere. Nothing is buffered: bytes held back at the end of a chunk are a
// prefix of the delimiter and are repeated from it.

#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace outrigger::idempotency {

// The boundary of a multipart media type; nothing for another type or when the parameter is
// missing, empty, longer than the 70 characters of RFC 2046 or has characters that it does not
// allow. The view is into `content_type`. Quoted boundaries may not contain escapes.
std::optional<std::string_view> FindBoundary(std::string_view content_type);

class BoundaryRemover {
 public:
  // REQUIRES: a boundary as FindBoundary gives, so without CR or LF.
  explicit BoundaryRemover(std::string_view boundary);

  // Calls `bytes(std::string_view)` and `delimiter()` in the order of the body.
  template <class Bytes, class Delimiter>
  void Update(std::string_view chunk, Bytes bytes, Delimiter delimiter);
  // The body ended: hands out what was held back.
  template <class Bytes>
  void Finish(Bytes bytes);

 private:
  // The part of `delimiter_` that was seen but not handed out.
  std::string_view Held() const {
    const size_t from = at_start_ ? 2 : 0;
    return std::string_view(delimiter_).substr(from, matched_ - from);
  }

  std::string delimiter_;
  // How many characters of the delimiter the last bytes match. CR occurs in it only at the front,
  // so after a mismatch nothing but the current byte can begin a new match.
  size_t matched_ = 2;
  // Before the first byte that is no delimiter: the CRLF counts as seen, but was not there.
  bool at_start_ = true;
};

template <class Bytes, class Delimiter>
void BoundaryRemover::Update(std::string_view chunk, Bytes bytes, Delimiter delimiter) {
  size_t begin = 0;  // first byte of the chunk that was neither handed out nor held
  size_t i = 0;
  while (i < chunk.size()) {
    if (matched_ == 0) {
      const void* cr = std::memchr(chunk.data() + i, '\r', chunk.size() - i);
      if (cr == nullptr) break;
      i = static_cast<size_t>(static_cast<const char*>(cr) - chunk.data());
      if (i > begin) bytes(chunk.substr(begin, i - begin));
      matched_ = 1;
      begin = ++i;
      continue;
    }
    if (chunk[i] == delimiter_[matched_]) {
      ++matched_;
      begin = ++i;
      if (matched_ < delimiter_.size()) continue;
      delimiter();
    } else if (!Held().empty()) {
      bytes(Held());
    }
    // Either way the next byte is looked at afresh.
    matched_ = 0;
    at_start_ = false;
  }
  if (begin < chunk.size()) bytes(chunk.substr(begin));
}

template <class Bytes>
void BoundaryRemover::Finish(Bytes bytes) {
  if (!Held().empty()) bytes(Held());
  matched_ = 0;
  at_start_ = false;
}

}  // namespace outrigger::idempotency
