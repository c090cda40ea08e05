// Writes heads and chunk framing in one normal form into memory of the caller.
//
//   ByteSink sink{buffer.data(), buffer.data() + buffer.size()};
//   WriteResult result = WriteRequestHead(sink, {head.method_text, head.path, head.query}, headers,
//                                         framing.body, {});
//   if (result == WriteResult::kFull) -> take a larger buffer and call again
//
// Fields keep order and spelling, with one space after the colon. Those that end at this hop are
// left out (framing.h), the framing fields are written anew from `body`. Nothing is ever written
// that a reader could take for another field or message: a name that is not a token, a value with a
// control character, a target that is no origin form or a request without Host gives kUnsafe.
// Unless kOk, `sink` is unchanged and the bytes behind it are undefined. Pure.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "proxy/http/headers.h"
#include "proxy/http1/framing.h"

namespace outrigger::http1 {

struct ByteSink {
  char* at = nullptr;  // next byte to write
  char* end = nullptr;

  size_t room() const { return static_cast<size_t>(end - at); }
};

enum class [[nodiscard]] WriteResult : uint8_t { kOk, kFull, kUnsafe };

enum class ConnectionOption : uint8_t {
  kDefault,    // say nothing: HTTP/1.1 persists
  kClose,      // Connection: close
  kKeepAlive,  // Connection: keep-alive, for a client of HTTP/1.0
};

struct HeadOptions {
  ConnectionOption connection = ConnectionOption::kDefault;
  // Not empty: write `Upgrade: <upgrade>` and nominate it.
  std::string_view upgrade;
  // Requests. Not empty: write this Host instead of the one in the headers.
  std::string_view host;
  // Fields of these ids are left out: `extra` says them anew.
  http::HeaderIdSet skipped;
  // Further fields, behind the others.
  const http::HeaderList* extra = nullptr;
  // Responses without body by rule (HEAD, 304): the Content-Length that a body would have.
  std::optional<uint64_t> declared_length;
};

// The parts of the request line; path and query are written one after the other.
struct RequestLine {
  std::string_view method;
  std::string_view path;
  std::string_view query;
};

// Host comes first; REQUIRES one, in the options or the headers (requests of HTTP/1.0 may come
// without). `TE: trailers` is passed on when the headers have it.
WriteResult WriteRequestHead(ByteSink& sink, const RequestLine& line,
                             const http::HeaderList& headers, const BodyFraming& body,
                             const HeadOptions& options);

// `reason_phrase` may be empty: then the usual one is written, if there is one. Of status 1xx, 204
// and 304 no framing is written but a declared length.
WriteResult WriteResponseHead(ByteSink& sink, int status, std::string_view reason_phrase,
                              const http::HeaderList& headers, const BodyFraming& body,
                              const HeadOptions& options);

// An upper bound of what the two above write.
size_t MaxHeadBytes(const RequestLine& line, const http::HeaderList& headers,
                    const HeadOptions& options);
size_t MaxHeadBytes(std::string_view reason_phrase, const http::HeaderList& headers,
                    const HeadOptions& options);

// What stands around a chunk's data: `<hex>\r\n`, then the data, then `\r\n`.
inline constexpr size_t kMaxChunkHeaderBytes = 16 + 2;
inline constexpr std::string_view kChunkEnd = "\r\n";
// Last chunk without trailers.
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

// REQUIRES: size > 0; an empty chunk would end the body.
WriteResult WriteChunkHeader(ByteSink& sink, uint64_t size);
// The last chunk with its trailer section.
WriteResult WriteLastChunk(ByteSink& sink, const http::HeaderList& trailers);

}  // namespace outrigger::http1
