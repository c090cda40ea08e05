// An answer as a script: what the service wants to send and when, before any fault changes it.
//
// Endpoints make answers, ApplyFaults (apply_faults.h) bends them, a Connection plays them. All are
// plain data, so faults can be tested without a socket.

#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "tools/mock-ai/http_request.h"

namespace outrigger::mock_ai {

// Whose grammar errors are written in.
enum class Dialect { kOpenAi, kAnthropic };

// What a step of an event stream means to its reader; kData where there are no events.
enum class StepKind { kData, kPreamble, kPing, kContent, kFinish, kTerminal, kError };

struct Step {
  absl::Duration delay;  // after the step before was due
  StepKind kind = StepKind::kData;
  std::string data;
  // Instead of `data`: this many bytes of the pattern a..z, in chunks of at most `piece`.
  uint64_t fill = 0;
  uint64_t piece = 16 * 1024;
  bool is_raw = false;  // goes out as it is, without framing

  uint64_t size() const { return fill > 0 ? fill : data.size(); }
};

enum class Framing { kLength, kChunked, kUntilClose };
// How it starts: with a head, never, by closing the connection, with bytes that are not HTTP.
enum class Opening { kHead, kStall, kClose, kGarbage };
// How it ends: as framed, with silence, by closing without the framed end, with pings for ever.
enum class Ending { kComplete, kStall, kCut, kPings };
// What happens to the connection after a complete answer: as the request said, closed as
// announced by `connection: close`, closed without a word, closed at once without reading on.
enum class Afterwards { kAsRequested, kAnnounceClose, kCloseSilently, kAbort };

// Everything goes out in pieces of `bytes`, one for each `interval`.
struct Pace {
  uint64_t bytes = 1;
  absl::Duration interval;
};

struct Answer {
  int status = 200;
  int version_minor = 1;
  Dialect dialect = Dialect::kOpenAi;
  bool is_event_stream = false;
  std::vector<Header> headers;
  std::vector<int> informational;  // 1xx heads sent first
  Framing framing = Framing::kLength;
  std::optional<uint64_t> declared_length;  // when it differs from the sum of the steps
  absl::Duration head_delay;
  std::vector<Step> steps;
  std::vector<Header> trailers;  // only with kChunked
  Opening opening = Opening::kHead;
  Ending ending = Ending::kComplete;
  Afterwards afterwards = Afterwards::kAsRequested;
  absl::Duration ping_interval;
  std::optional<uint64_t> reset_at;  // RST after that many bytes, counted from the first head
  std::optional<Pace> pace;

  uint64_t body_bytes() const;
};

// One body of a known length.
Answer MakeAnswer(int status, std::string_view content_type, std::string body);
// {"error": ...} in the words of the dialect.
Answer ErrorAnswer(Dialect dialect, int status, std::string_view message);
// The same as an event of a stream.
std::string ErrorEvent(Dialect dialect, std::string_view message);

}  // namespace outrigger::mock_ai
