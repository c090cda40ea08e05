// Parsing with the input cut into pieces, and printable results that tests compare.

#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "proxy/http/headers.h"
#include "proxy/http1/chunked_decoder.h"
#include "proxy/http1/framing.h"
#include "proxy/http1/head_parser.h"

namespace outrigger::http1 {

// Given how many bytes were delivered, how many come with the next read. A number above what is
// left means all of it.
using Split = std::function<size_t(size_t delivered)>;

inline Split Whole() {
  return [](size_t) { return static_cast<size_t>(-1); };
}
inline Split ByteByByte() {
  return [](size_t) { return size_t{1}; };
}
inline Split At(size_t position) {
  return [position](size_t delivered) {
    return delivered < position ? position - delivered : static_cast<size_t>(-1);
  };
}

// "Name: value\n" for each field.
std::string Print(const http::HeaderList& headers);

struct ParsedHead {
  HeadResult result;
  // Everything the parser says, of kDone the head and the fields as well.
  std::string text;
};

// Each read arrives in a buffer of its own, of exactly the bytes read so far.
ParsedHead ParseRequest(std::string_view bytes, const Split& split = Whole(),
                        const HeadLimits& limits = {});
ParsedHead ParseResponse(std::string_view bytes, const Split& split = Whole(),
                         const HeadLimits& limits = {});

struct Decoded {
  ChunkedDecoder::Status status = ChunkedDecoder::Status::kNeedMore;
  size_t consumed = 0;
  std::string data;
  std::string trailers;
  std::string error;

  std::string text() const;
};
Decoded Decode(std::string_view bytes, const Split& split = Whole());

// What becomes of the first request in `bytes`: "incomplete", "<reason>: <message>" of the head,
// the framing or the body, or "ok".
std::string JudgeRequest(std::string_view bytes);

}  // namespace outrigger::http1
