// The states of a key and the steps between them (semantics ID-5).
//
//   ABSENT -> RESERVED -> EXECUTING -> DONE | TOMBSTONE | UNKNOWN
//   RESERVED -> ABSENT, EXECUTING -> ABSENT    (nothing was executed, or once more does no harm)
//   DONE -> TOMBSTONE                          (the body was given up; unsafe only)
//   any -> ABSENT                              (time to live, admin)
//
// Tombstones and unknown outcomes exist for unsafe requests only: of the others a second execution
// is allowed, so they are forgotten instead (ID-6, ID-7).

#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/http/failure.h"

namespace outrigger::idempotency {

enum class State : uint8_t { kAbsent, kReserved, kExecuting, kDone, kTombstone, kUnknown };
inline constexpr int kStates = 6;

// Why a key changed its state, for the audit log.
enum class Cause : uint8_t {
  kBegun,       // the first request with this key
  kDispatched,  // about to send the first byte upstream
  kCompleted,
  kReleased,   // nothing was executed, or it may be executed again
  kNotKept,    // executed, but the answer is too big or was cut
  kNoOutcome,  // may have been executed
  kAbandoned,  // whoever ran it gave up without a verdict
  kEvicted,
  kExpired,
  kErased,  // by the admin
};

// Lower-case words for logs and metric labels.
std::string_view StateName(State state);
std::string_view CauseName(Cause cause);

bool IsLegal(State from, State to, http::Effects effects);

}  // namespace outrigger::idempotency
