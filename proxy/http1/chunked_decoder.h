// Incremental decoder of the chunked transfer coding (RFC 9112, 7.1).
//
//   ChunkedDecoder decoder;
//   for (;;) {
//     ChunkedDecoder::Step step = decoder.Next(input);
//     input.remove_prefix(step.consumed);
//     switch (step.status) {
//       case kData: Forward(step.data); break;     // a view into `input`, call again
//       case kNeedMore: -> all was consumed; read more, call again
//       case kDone: -> decoder.trailers(); `input` is the next message
//       case kError: -> decoder.error(); the connection is not usable
//     }
//   }
//
// Data is passed in place, never copied; the input may be split anywhere. Only trailers are copied
// into the decoder. Strict: CRLF only, no white space around sizes or extensions, sizes of 1 to 16
// hex digits up to 2^63 - 1, extensions by their grammar and bounded in size, no trailer field that
// would change framing, routing, authentication or the content's format (RFC 9110, 6.5.1).
// After kDone or kError, Next() repeats that status until Reset().

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/http/headers.h"

namespace outrigger::http1 {

class ChunkedDecoder {
 public:
  static constexpr size_t kMaxExtensionBytesPerChunk = 1024;
  // Of all chunks together, beyond the bytes of data that came with them: who sends mostly
  // extensions wants to keep us busy.
  static constexpr uint64_t kMaxExtensionExcess = 16 * 1024;
  static constexpr size_t kMaxTrailerBytes = 8 * 1024;
  static constexpr size_t kMaxTrailerFields = 100;

  enum class Status : uint8_t { kNeedMore, kData, kDone, kError };

  struct Step {
    Status status = Status::kNeedMore;
    size_t consumed = 0;    // from the start of the input, `data` included
    std::string_view data;  // kData: not empty
  };

  Step Next(std::string_view input);

  // Valid after kDone, until Reset(); views point into the decoder.
  const http::HeaderList& trailers() const { return trailers_; }
  // After kError: a static text.
  std::string_view error() const { return error_; }
  bool is_done() const { return state_ == State::kDone; }

  // For the next message; keeps capacities.
  void Reset();

 private:
  enum class State : uint8_t {
    kSize,
    kExtensionName,
    kExtensionValue,
    kExtensionQuoted,
    kExtensionQuotedPair,
    kExtensionQuotedEnd,
    kSizeLf,
    kData,
    kDataCr,
    kDataLf,
    kTrailers,
    kDone,
    kError,
  };

  void Fail(std::string_view message);
  // One byte of the line with a chunk's size and extensions.
  void TakeSizeLine(char c);
  void TakeExtension(char c);
  void EndSizeLine();
  // The bytes taken of `input`, up to the end of a line.
  size_t TakeTrailers(std::string_view input);
  void ParseTrailers();

  State state_ = State::kSize;
  uint8_t size_digits_ = 0;
  // Whether the name or value of an extension has at least one character.
  bool has_extension_char_ = false;
  uint64_t left_ = 0;  // of the chunk: its size while that is read, then the data still to come
  size_t extension_bytes_ = 0;     // of this chunk
  uint64_t extension_excess_ = 0;  // see kMaxExtensionExcess
  size_t trailer_line_start_ = 0;
  std::string trailer_text_;
  http::HeaderList trailers_;
  std::string_view error_;
};

}  // namespace outrigger::http1
