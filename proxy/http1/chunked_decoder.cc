#include "proxy/http1/chunked_decoder.h"

#include <algorithm>

#include "proxy/http1/chars.h"
#include "proxy/http1/field_line.h"
#include "proxy/http1/framing.h"

namespace outrigger::http1 {
namespace {

constexpr uint8_t kMaxSizeDigits = 16;

uint64_t HexValue(char c) {
  return static_cast<uint64_t>(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

}  // namespace

void ChunkedDecoder::Reset() {
  state_ = State::kSize;
  size_digits_ = 0;
  left_ = 0;
  extension_bytes_ = 0;
  extension_excess_ = 0;
  trailer_line_start_ = 0;
  trailer_text_.clear();
  trailers_.Clear();
  error_ = {};
}

void ChunkedDecoder::Fail(std::string_view message) {
  state_ = State::kError;
  error_ = message;
}

ChunkedDecoder::Step ChunkedDecoder::Next(std::string_view input) {
  size_t at = 0;
  for (;;) {
    if (state_ == State::kDone) return {Status::kDone, at, {}};
    if (state_ == State::kError) return {Status::kError, at, {}};
    if (at == input.size()) return {Status::kNeedMore, at, {}};
    switch (state_) {
      case State::kData: {
        const auto length = static_cast<size_t>(std::min<uint64_t>(left_, input.size() - at));
        left_ -= length;
        if (left_ == 0) state_ = State::kDataCr;
        return {Status::kData, at + length, input.substr(at, length)};
      }
      case State::kDataCr:
        if (input[at++] != '\r') {
          Fail("chunk's data is longer than its size");
          break;
        }
        state_ = State::kDataLf;
        break;
      case State::kDataLf:
        if (input[at++] != '\n') {
          Fail("carriage return without line feed after a chunk");
          break;
        }
        state_ = State::kSize;
        size_digits_ = 0;
        extension_bytes_ = 0;
        break;
      case State::kTrailers:
        at += TakeTrailers(input.substr(at));
        break;
      default:
        TakeSizeLine(input[at++]);
        break;
    }
  }
}

// RFC 9112, 7.1: chunk-size [ chunk-ext ] CRLF. White space is not taken anywhere: 7.1.1 asks to
// remove it in extensions, but parsers differ in where they look for it.
void ChunkedDecoder::TakeSizeLine(char c) {
  if (state_ == State::kSizeLf) {
    if (c != '\n') return Fail("carriage return without line feed in a chunk's size line");
    return EndSizeLine();
  }
  if (state_ != State::kSize) return TakeExtension(c);
  if (Is(c, kHexChar)) {
    if (size_digits_ == 0) left_ = 0;
    if (++size_digits_ > kMaxSizeDigits) return Fail("chunk size has too many digits");
    left_ = left_ * 16 + HexValue(c);
    return;
  }
  if (size_digits_ == 0) return Fail("chunk without a size");
  if (left_ > static_cast<uint64_t>(INT64_MAX)) return Fail("chunk size is too large");
  if (c == '\r') {
    state_ = State::kSizeLf;
  } else if (c == ';') {
    state_ = State::kExtensionName;
    has_extension_char_ = false;
    extension_bytes_ = 1;
  } else {
    Fail("character not allowed in a chunk size");
  }
}

// RFC 9112, 7.1.1: *( ";" token [ "=" ( token / quoted-string ) ] ).
void ChunkedDecoder::TakeExtension(char c) {
  if (++extension_bytes_ > kMaxExtensionBytesPerChunk) return Fail("chunk extension is too long");
  switch (state_) {
    case State::kExtensionQuoted:
      if (c == '"') {
        state_ = State::kExtensionQuotedEnd;
      } else if (c == '\\') {
        state_ = State::kExtensionQuotedPair;
      } else if (!Is(c, kValueChar)) {
        Fail("control character in a chunk extension");
      }
      return;
    case State::kExtensionQuotedPair:
      if (!Is(c, kValueChar)) return Fail("control character in a chunk extension");
      state_ = State::kExtensionQuoted;
      return;
    case State::kExtensionName:
    case State::kExtensionValue:
      if (Is(c, kTokenChar)) {
        has_extension_char_ = true;
        return;
      }
      if (c == '"' && state_ == State::kExtensionValue && !has_extension_char_) {
        state_ = State::kExtensionQuoted;
        return;
      }
      if (!has_extension_char_) return Fail("malformed chunk extension");
      if (c == '=' && state_ == State::kExtensionName) {
        state_ = State::kExtensionValue;
        has_extension_char_ = false;
        return;
      }
      break;
    default:
      break;
  }
  // Behind a complete extension.
  if (c == ';') {
    state_ = State::kExtensionName;
    has_extension_char_ = false;
  } else if (c == '\r') {
    state_ = State::kSizeLf;
  } else {
    Fail("malformed chunk extension");
  }
}

void ChunkedDecoder::EndSizeLine() {
  extension_excess_ += extension_bytes_;
  extension_excess_ -= std::min(extension_excess_, left_);
  if (extension_excess_ > kMaxExtensionExcess) return Fail("too many chunk extensions");
  state_ = left_ == 0 ? State::kTrailers : State::kData;
}

size_t ChunkedDecoder::TakeTrailers(std::string_view input) {
  const size_t feed = input.find('\n');
  const size_t taken = feed == std::string_view::npos ? input.size() : feed + 1;
  // Without trailers, in one piece: nothing to keep.
  if (trailer_text_.empty() && input.substr(0, taken) == "\r\n") {
    state_ = State::kDone;
    return taken;
  }
  const size_t kept = std::min(taken, kMaxTrailerBytes - trailer_text_.size());
  trailer_text_.append(input.substr(0, kept));
  if (kept < taken) {
    Fail("trailers are too large");
    return kept;
  }
  if (feed == std::string_view::npos) return taken;
  const std::string_view line = std::string_view(trailer_text_).substr(trailer_line_start_);
  trailer_line_start_ = trailer_text_.size();
  if (line.size() < 2 || line[line.size() - 2] != '\r') {
    Fail("line feed without carriage return in the trailers");
  } else if (line.size() == 2) {
    ParseTrailers();
  }
  return taken;
}

void ChunkedDecoder::ParseTrailers() {
  std::string_view text = trailer_text_;
  for (;;) {
    const size_t end = text.find("\r\n");
    if (end == 0) break;
    if (std::string_view problem = ParseFieldLine(text.substr(0, end), trailers_);
        !problem.empty()) {
      return Fail(problem);
    }
    text.remove_prefix(end + 2);
  }
  if (trailers_.size() > kMaxTrailerFields) return Fail("too many trailers");
  for (const http::HeaderField& field : trailers_) {
    const bool is_imitation = field.id == http::HeaderId::kOther && IsImitation(field.name);
    if (!MayBeTrailer(field.id) || is_imitation) return Fail("field not allowed in trailers");
  }
  state_ = State::kDone;
}

}  // namespace outrigger::http1
