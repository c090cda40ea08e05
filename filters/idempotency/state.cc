#include "filters/idempotency/state.h"

namespace outrigger::idempotency {

std::string_view StateName(State state) {
  switch (state) {
    case State::kAbsent:
      return "absent";
    case State::kReserved:
      return "reserved";
    case State::kExecuting:
      return "executing";
    case State::kDone:
      return "done";
    case State::kTombstone:
      return "tombstone";
    case State::kUnknown:
      return "unknown";
  }
  return {};
}

std::string_view CauseName(Cause cause) {
  switch (cause) {
    case Cause::kBegun:
      return "begun";
    case Cause::kDispatched:
      return "dispatched";
    case Cause::kCompleted:
      return "completed";
    case Cause::kReleased:
      return "released";
    case Cause::kNotKept:
      return "not_kept";
    case Cause::kNoOutcome:
      return "no_outcome";
    case Cause::kAbandoned:
      return "abandoned";
    case Cause::kEvicted:
      return "evicted";
    case Cause::kExpired:
      return "expired";
    case Cause::kErased:
      return "erased";
  }
  return {};
}

bool IsLegal(State from, State to, http::Effects effects) {
  const bool unsafe = effects == http::Effects::kUnsafe;
  switch (to) {
    case State::kAbsent:
      return from != State::kAbsent;
    case State::kReserved:
      return from == State::kAbsent;
    case State::kExecuting:
      return from == State::kReserved;
    case State::kDone:
      return from == State::kExecuting;
    case State::kTombstone:
      return unsafe && (from == State::kExecuting || from == State::kDone);
    case State::kUnknown:
      return unsafe && from == State::kExecuting;
  }
  return false;
}

}  // namespace outrigger::idempotency
