// One keyed execution: runs the rest of the chain for a key's first request, writes the answer into
// the recording, and settles the key by what happened (semantics B0.2, ID-6, ID-8, ID-12).
//
//   CallerLink link(request);
//   Execution::Start(parts, policy, std::move(begin.reservation), request, next, body, link);
//
// It belongs to the worker's scope from its start. Its request is a copy in an arena of its own, so
// that it does not depend on the connection of the first caller, who is a reader of the recording
// like every joiner. Only the body of a request that is still being received stays the caller's:
// when that one leaves before all of it has arrived, the execution is cancelled.
//
// *When it ends.* While there are readers, their own drivers keep their deadlines; who leaves at
// its deadline leaves nobody behind for whom to go on, so the execution ends with the last reader
// if the latest of all deadlines has passed. Without readers before that, it goes on detached for
// `detached_timeout`; at once it ends when the policy says `cancel`, the pod has `max_detached`,
// the worker drains, or the answer neither can be kept nor must be.
//
// Each end states its verdict: an answer that was read to its end, a failure, a cut, a
// cancellation. One that is destroyed without any (the worker's scope ends) leaves that to
// Reservation. One worker.

#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "filters/common/outcome.h"
#include "filters/idempotency/caller_link.h"
#include "filters/idempotency/execution_runtime.h"
#include "filters/idempotency/keyed_body.h"
#include "filters/idempotency/loop_waiter.h"
#include "filters/idempotency/policy.h"
#include "filters/idempotency/reservation.h"
#include "proxy/chain/filter.h"
#include "proxy/coro/abortable.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::idempotency {

// Of the worker; all of it outlives the executions.
struct ExecutionParts {
  Loop& loop;
  ExecutionRuntime& runtime;
  MemoryBudget& budget;
  metrics::WorkerMetrics& metrics;
  metrics::StandardMetrics& standard_metrics;
};

// Of the route; lives as long as the chain, which the execution's request pins.
struct ExecutionPolicy {
  IdempotencyPolicy keys;
  common::DecideOptions decide;
};

// The body of the request to execute: read as a whole, with its fingerprint, or still to come.
struct ExecutionBody {
  std::string_view whole;
  std::optional<Fingerprint> fingerprint;
  // REQUIRES: set when `fingerprint` is not.
  std::optional<Fingerprinter> fingerprinter;
};

class Execution final : public Pooled,
                        private CallerLink::Execution,
                        private FingerprintingBody::Listener {
 public:
  // Copies what it needs of `caller`, whose body it takes when it is still to come. Runs to its
  // first wait, possibly to its end, before this returns.
  static void Start(const ExecutionParts& parts, const ExecutionPolicy& policy,
                    Reservation reservation, http::Request& caller, chain::Next next,
                    ExecutionBody body, CallerLink& link);

  Execution(const ExecutionParts& parts, const ExecutionPolicy& policy, Reservation reservation,
            http::Request& caller, chain::Next next, ExecutionBody body, CallerLink& link);
  ~Execution();
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

 private:
  // Why it was cancelled.
  enum class Cancellation : uint8_t { kDeadline, kNobodyWaits, kRequestCut };

  // What its parts call it with; each is a node of some list.
  struct DispatchMark final : http::DispatchHook {
    explicit DispatchMark(Execution& owner) : execution(owner) {}
    Task<std::optional<http::Failure>> BeforeDispatch(http::Request& request) override;
    Execution& execution;
  };
  struct ReadersWatch final : LoopWaiter {
    ReadersWatch(Loop& loop, Execution& owner) : LoopWaiter(loop), execution(owner) {}
    void OnWake() override { execution.OnReadersChanged(); }
    Execution& execution;
  };
  struct DetachedPlace final : ExecutionRuntime::Detached {
    explicit DetachedPlace(Execution& owner) : execution(owner) {}
    void OnDrain() override { execution.Cancel(Cancellation::kNobodyWaits); }
    Execution& execution;
  };
  struct DetachedTimer final : Timer {
    DetachedTimer(Loop& loop, Execution& owner) : Timer(loop), execution(owner) {}
    void OnTimer() override { execution.Cancel(Cancellation::kNobodyWaits); }
    Execution& execution;
  };
  struct InformationalRelay final : http::InformationalSink {
    explicit InformationalRelay(Execution& owner) : execution(owner) {}
    void OnInformational(int status, const http::HeaderList& headers) override;
    Execution& execution;
  };

  static Task<void> Run(std::unique_ptr<Execution> execution);

  void CopyRequest(http::Request& caller, ExecutionBody body);
  Task<bool> Pump(chain::Next next);
  void OnHead();
  // By what is known of the answer.
  bool Judge();
  common::Event AnswerEvent() const;

  // The ends. Each settles the key, ends the recording and then calls End().
  void FinishFailed(http::Failure failure);
  void FinishAnswered();
  void FinishCut(const http::Failure& failure, http::StreamOutcome outcome);
  void FinishCancelled();
  void SettleCut();
  void End(http::StreamOutcome outcome);
  // Takes itself off every list that others keep.
  void Leave();

  // CallerLink::Execution
  void OnCallerGone() override;
  // FingerprintingBody::Listener
  void OnRequestRead(const Fingerprint& fingerprint) override;
  void OnRequestEnded() override { is_request_ended_ = true; }

  void OnReadersChanged();
  // Whether to go on although nobody reads.
  bool MayDetach();
  bool IsUseless();
  // From the loop; nothing of the execution is running.
  void Cancel(Cancellation why);

  Recording& recording() { return reservation_.recording(); }
  void Count(metrics::IdempotencyResult result);
  // What the record has become, for metrics and log.
  void NoteState(State state);

  const ExecutionParts& parts_;
  const ExecutionPolicy& policy_;
  Arena arena_;
  BudgetLease charge_;
  http::Request request_;
  Reservation reservation_;
  CallerLink* link_;
  FingerprintingBody* streamed_body_ = nullptr;  // in request_; null: the body came whole
  DispatchMark dispatch_mark_;
  InformationalRelay informational_;
  ReadersWatch readers_watch_;
  DetachedPlace detached_;
  DetachedTimer detached_timer_;
  SignalWaiter room_;
  std::optional<http::Response> response_;
  common::Verdict verdict_;  // of the answer's head
  Cancellation cancellation_ = Cancellation::kNobodyWaits;
  bool is_request_read_ = false;
  bool is_request_ended_ = false;
  bool is_dispatched_ = false;
  bool is_over_ = false;
  // Goes first: its frames use everything above.
  Abortable<bool> pump_;
};

}  // namespace outrigger::idempotency
