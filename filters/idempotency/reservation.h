// The right to execute one key: held by the execution from the moment that its request was the
// first with the key until its outcome is settled.
//
//   Reservation reservation = std::move(begin.reservation);
//   reservation.MarkExecuting();                       // Request::BeforeDispatch
//   reservation.recording().SetHead(...); Append ...; Complete(trailers);
//   reservation.Complete(now);                         // or Release, GiveUpBody, SetUnknown
//
// Settle first, then end the recording with Fail(): whoever comes in between then begins anew and
// does not join a failed execution. Complete() is the exception, it wants a complete recording.
//
// A reservation that is destroyed unsettled settles by itself: not executing, or effects none and
// keyed: released; executing and unsafe: UNKNOWN, answered as 502. A recording still running is
// then failed, so that nobody waits for it. This is what cancellation leaves behind.
//
// Each call that changes the state says whether it did: an illegal step is refused and counted, and
// so is any step after the key was erased by the admin (its execution no longer owns it).
// One thread at a time; movable. The table must outlive it.

#pragma once

#include <optional>
#include <utility>

#include "filters/idempotency/policy.h"
#include "filters/idempotency/recording.h"
#include "filters/idempotency/state.h"
#include "filters/idempotency/store_key.h"
#include "proxy/http/failure.h"

namespace outrigger::idempotency {

class KeyTable;

// What later requests with the key are told whose outcome is unknown (ID-6): as the first caller.
struct UnknownAnswer {
  int status = 502;
  http::Reason reason = http::Reason::kUpstreamReset;
};

class Reservation {
 public:
  Reservation() = default;
  Reservation(Reservation&& other) noexcept { *this = std::move(other); }
  Reservation& operator=(Reservation&& other) noexcept;
  ~Reservation() { Abandon(); }

  // False for a default-made or moved-from one, for which nothing else may be called.
  explicit operator bool() const { return table_ != nullptr; }

  const StoreKey& key() const { return key_; }
  http::Effects effects() const { return effects_; }
  Recording& recording() { return *recording_; }
  const RefPtr<Recording>& recording_ref() { return recording_; }
  bool is_settled() const { return is_settled_; }

  // RESERVED -> EXECUTING. False only when called twice or after settling; an execution whose key
  // was erased goes on without it.
  bool MarkExecuting();
  // The answer is complete: DONE; or, when the recording overflowed, TOMBSTONE (unsafe) or ABSENT.
  // Gives the state reached. REQUIRES for success: recording().end() is kComplete.
  std::optional<State> Complete(MonoTime now);
  // Nothing was executed, or executing again does no harm: -> ABSENT.
  bool Release();
  // Executed, but there is no whole answer to keep: TOMBSTONE (unsafe) or ABSENT.
  std::optional<State> GiveUpBody(MonoTime now);
  // May have been executed: UNKNOWN (unsafe) or ABSENT.
  std::optional<State> SetUnknown(const UnknownAnswer& answer, MonoTime now);

 private:
  friend class KeyTable;
  Reservation(KeyTable& table, const StoreKey& key, http::Effects effects,
              RefPtr<Recording> recording, const IdempotencyPolicy& policy)
      : table_(&table),
        key_(key),
        effects_(effects),
        recording_(std::move(recording)),
        key_ttl_(policy.key_ttl),
        response_ttl_(policy.response_ttl) {}

  bool Settle(State to, Cause cause, MonoTime now, const UnknownAnswer& answer = {});
  std::optional<State> SettleUnsafeAs(State unsafe_state, Cause cause, MonoTime now,
                                      const UnknownAnswer& answer = {});
  void Abandon();

  KeyTable* table_ = nullptr;
  StoreKey key_;
  http::Effects effects_ = http::Effects::kUnsafe;
  RefPtr<Recording> recording_;
  absl::Duration key_ttl_;
  absl::Duration response_ttl_;
  bool is_executing_ = false;
  bool is_settled_ = false;
};

}  // namespace outrigger::idempotency
