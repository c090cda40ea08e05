// The circuit breaker as a pure state machine (semantics BR-1 to BR-5, BR-8).
//
//   BreakerCore core(policy, seed, now);
//   Admission admission = core.TryAcquire(now);
//   if (!admission.admitted) ...                              // admission.retry_after
//   core.Record(admission.ticket, Outcome::kFailure, /*slow=*/false, now);
//
// Closed: everything passes and is counted. Opens when any of these holds after a sample:
//   - `consecutive` failures in a row, however long it took: a service that is asked once a minute
//     and never answers would be seen by no window;
//   - at least `min_requests` samples in the window, of which `failure_ratio` failed;
//   - at least `min_requests` timed samples in the window, of which `slow.ratio` were slow.
// Open: nothing passes for open_for·2^n, at most max_open_for, with ±20 % of jitter; n counts the
// failed probes since the breaker was last closed for a minute.
// Half-open: one probe at a time. A failed or slow probe opens again, `successes_to_close` good
// ones in a row of probes close. A probe without a verdict (ignored, throttled, abandoned) frees
// its place. Probes are user requests, or with `probe.path` only what TryAcquireProbe admits; that
// one fails when it has no verdict after `probe.timeout`.
//
// Every transition begins a new epoch. A verdict on a ticket of an earlier epoch is dropped: it
// tells of a time that has been judged. So a ticket may come back at any later time, or never.
//
// Each call returns the transition that it caused, if any; there is at most one. Not thread-safe.
// Times that run back count as the latest seen.

#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "absl/time/time.h"
#include "filters/breaker/outcome_window.h"
#include "filters/breaker/policy.h"
#include "proxy/base/time.h"

namespace outrigger::breaker {

// The values are those of the gauge outrigger_breaker_state.
enum class State { kClosed = 0, kHalfOpen = 1, kOpen = 2 };

// BR-5. Throttled: the app asked this caller to slow down, which says nothing against the app.
enum class Outcome { kSuccess, kFailure, kIgnore, kThrottled };

enum class Cause {
  kConsecutiveFailures,
  kFailureRatio,
  kSlowRatio,
  kOpenTimeOver,
  kProbeFailed,
  kProbeTimedOut,
  kProbesSucceeded,
  kManual,
};
inline constexpr int kCauses = static_cast<int>(Cause::kManual) + 1;

enum class Override { kAuto, kForcedOpen, kForcedClosed };

struct Transition {
  State from = State::kClosed;
  State to = State::kClosed;
  Cause cause = Cause::kManual;
  Counts counts;            // of the window, when it was decided
  int64_t consecutive = 0;  // failures in a row
  absl::Duration open_for;  // when it opens
};

// Names the period in which a request was let through.
struct Ticket {
  uint64_t epoch = 0;
  bool is_probe = false;
};

struct Admission {
  bool admitted = false;
  Ticket ticket;               // when admitted
  absl::Duration retry_after;  // when not: time to the next probe, or a second if one is under way
  std::optional<Transition> transition;
};

struct Snapshot {
  State state = State::kClosed;
  Override override = Override::kAuto;
  Counts counts;
  int64_t consecutive = 0;
  int probe_successes = 0;
  bool probe_under_way = false;
  absl::Duration until_probe;                   // while open
  bool refuses_requests = false;                // all of clients, for now; never in shadow mode
  std::array<uint64_t, kCauses> transitions{};  // by cause, since the beginning
};

class BreakerCore {
 public:
  // The jitter repeats with the seed.
  BreakerCore(const Policy& policy, uint64_t seed, MonoTime now);

  // For a user request.
  Admission TryAcquire(MonoTime now);
  // For a GET of `probe.path`: admits one when it is time, and nothing while closed.
  Admission TryAcquireProbe(MonoTime now);
  // The verdict. `slow` also with kIgnore: a client that gave up after more than `slow.ttft`
  // without an answer has measured something.
  std::optional<Transition> Record(Ticket ticket, Outcome outcome, bool slow, MonoTime now);
  // A stream that was judged well at its head was cut later: one failure more in the window, unless
  // the window began after the request.
  std::optional<Transition> AddLateFailure(Ticket ticket, MonoTime now);
  // No verdict will come.
  void Abandon(Ticket ticket);

  // BR-8. Forced open refuses everything, without probes; forced closed passes everything and goes
  // on counting. Back to automatic, a forced-open breaker may be probed at once.
  std::optional<Transition> SetOverride(Override override, MonoTime now);
  // A reload. State and counts stay; a window of another length begins empty.
  void SetPolicy(const Policy& policy, MonoTime now);

  Snapshot TakeSnapshot(MonoTime now);
  // What TryAcquire() gives while the breaker is closed; nothing: it is not.
  std::optional<Ticket> closed_ticket() const {
    if (state_ != State::kClosed) return std::nullopt;
    return Ticket{epoch_, false};
  }

 private:
  MonoTime Seen(MonoTime now);
  std::optional<Transition> FailOverdueProbe(MonoTime now);
  Admission AdmitProbe(MonoTime deadline, MonoTime now);
  absl::Duration RetryAfter(MonoTime now) const;
  std::optional<Transition> Count(const Counts& counts, MonoTime now);
  std::optional<Transition> JudgeProbe(Outcome outcome, bool slow, MonoTime now);
  Transition Change(State to, Cause cause, MonoTime now);
  absl::Duration NextOpenTime();
  void ClearWindow();

  Policy policy_;
  uint64_t seed_;
  OutcomeWindow window_;
  int64_t consecutive_ = 0;
  State state_ = State::kClosed;
  Override override_ = Override::kAuto;
  uint64_t epoch_ = 1;
  uint64_t window_epoch_ = 1;  // the epoch in which the window was last cleared
  MonoTime latest_;
  MonoTime closed_since_;
  MonoTime open_until_;
  int doublings_ = 0;
  int probe_successes_ = 0;
  bool probe_under_way_ = false;
  MonoTime probe_deadline_ = MonoTime::Infinite();
  std::array<uint64_t, kCauses> transitions_{};
};

}  // namespace outrigger::breaker
