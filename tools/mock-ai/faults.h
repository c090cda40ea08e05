// Faults that a caller asks for: by the header `x-mock-fault` for its own request, or through
// `POST /admin/faults` for the next requests of anybody.
//
//   absl::StatusOr<FaultPlan> plan = ParseFaults("status:429;retry-after:2");
//
// A spec is a list of clauses `name[:argument]` separated by `;`. README.md lists the names.
// Clauses may be combined where that makes sense; at most one clause may decide how the body ends.
// Durations are written `20ms`, `1.5s` or as a bare number of milliseconds.

#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tools/mock-ai/answer.h"

namespace outrigger::mock_ai {

enum class BodyFault {
  kNone,
  kStall,           // stall-body:N
  kRoleOnlyStall,   // role-only-stall
  kPingOnly,        // ping-only[:interval]
  kErrorEvent,      // error-event, error-event-after:N
  kCut,             // cut-after:N
  kNoTerminal,      // no-terminal
  kTruncate,        // truncate[:missing bytes]
  kLieShort,        // lie-short[:extra bytes]
  kTruncatedChunk,  // truncated-chunk[:N]
  kBadChunk,        // bad-chunk[:N]
};

// `early-response[:status[,keep|close|abort]]`
struct EarlyResponse {
  int status = 413;
  bool keeps_connection = false;
  bool aborts = false;
};

struct FaultPlan {
  std::optional<int> status;
  bool is_executed = false;       // the ledger counts it although the status says failure
  std::vector<Header> headers;    // added to the answer
  std::optional<uint64_t> first;  // only the first N receptions of the same execution id
  Opening opening = Opening::kHead;
  BodyFault body = BodyFault::kNone;
  std::optional<uint64_t> count;  // the argument of `body`, where it is a number
  absl::Duration ping_interval = absl::Milliseconds(100);
  std::optional<uint64_t> reset_at;
  std::optional<EarlyResponse> early;
  std::optional<Pace> pace;
  std::vector<int> informational;
  bool closes_silently = false;
  bool sends_trailers = false;
  bool is_http10 = false;
  bool withholds_continue = false;
  absl::Duration delay;
  std::optional<absl::Duration> ttft;
  std::optional<absl::Duration> itl;
  std::optional<int64_t> tokens;
};

absl::StatusOr<FaultPlan> ParseFaults(std::string_view spec);
// The same for clauses that are already separated, so that an argument may contain `;`.
absl::StatusOr<FaultPlan> ParseFaults(const std::vector<std::string>& clauses);
absl::StatusOr<absl::Duration> ParseDuration(std::string_view text);

// The faults set by admin calls, used up in the order in which they were added.
class FaultQueue {
 public:
  struct Entry {
    std::string spec;  // as it was given, for showing
    FaultPlan plan;
    int64_t count = 1;  // requests left; negative: for ever
    std::string path;   // prefix of the path; empty: every path but health checks
  };

  void Add(Entry entry) { entries_.push_back(std::move(entry)); }
  void Clear() { entries_.clear(); }
  const std::deque<Entry>& entries() const { return entries_; }
  // The plan for a request of that path, if any; counts it down.
  std::optional<FaultPlan> Take(std::string_view path, bool is_health);

 private:
  std::deque<Entry> entries_;
};

}  // namespace outrigger::mock_ai
