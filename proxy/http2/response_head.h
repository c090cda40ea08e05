// Takes the fields of an answer's heads and trailers as a stream receives them: interim responses
// first, then the final head.
//
//   ResponseHeadReader reader;
//   reader.Add(":status", "200", head);                // for each field, while nghttp2 runs
//   if (!reader.Finish(head)) -> the service breaks the protocol
//
// As strict as the HTTP/1 parser: what is accepted here can be written as HTTP/1.1 without meaning
// anything else. Strings are copied into the head's arena. Pure; no allocation but the arena's.

#pragma once

#include <cstddef>
#include <string_view>

#include "proxy/base/arena.h"
#include "proxy/http/headers.h"
#include "proxy/http1/head_parser.h"

namespace outrigger::http2 {

struct ResponseHead {
  int status = 0;
  http::HeaderList headers;
};

class ResponseHeadReader {
 public:
  // Of all heads of a stream together: as many interim responses as that allows.
  static constexpr size_t kMaxBytesOfAll = 4 * http1::HeadLimits{}.max_head_bytes;

  // A new head begins.
  void Begin();
  // False: such a field is not accepted, and what follows need not be decoded.
  bool Add(std::string_view name, std::string_view value, Arena& arena, ResponseHead& head);
  // After the last field. False: it is not the head of a response.
  bool Finish(const ResponseHead& head) const;

 private:
  bool AddStatus(std::string_view value, ResponseHead& head);

  size_t bytes_ = 0;
  size_t bytes_of_all_ = 0;
  bool has_regular_ = false;
};

}  // namespace outrigger::http2
