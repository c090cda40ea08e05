// The idempotency filter (semantics B1): a request with a key is executed once; who repeats it gets
// the same answer.
//
//   IdempotencyFilter filter(parts, {.execution = {ToPolicy(settings), decide}, .max_stream =
//   ...});
//
// A request without a key passes at no cost. The first one with a key starts an Execution in the
// worker's scope, and reads its recording like everyone who comes later; so nobody's leaving ends
// it (ID-12). A repetition's body is read and hashed before it gets any byte of an answer (ID-2).
// Replays of kept answers may be limited for each tenant; joins are always free (B0.1).
//
// `Call` returns when the answer's head is recorded. The response's body leaves the recording when
// it is dropped. One worker; keys and recordings are shared by all.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "filters/idempotency/execution.h"
#include "filters/idempotency/store_key.h"
#include "filters/idempotency/table.h"
#include "proxy/chain/filter.h"

namespace outrigger::idempotency {

class IdempotencyFilter final : public chain::Filter {
 public:
  struct Parts {
    ExecutionParts execution;
    KeyTable& keys;
    const StoreKeyMaker& key_maker;
    // Asked before a stored answer is given again: zero, or how long the caller has to wait because
    // its tenant asks for replays too often (B0.1). Null: no limit.
    std::function<absl::Duration(const http::Request&)> replay_wait = nullptr;
  };
  struct Policy {
    ExecutionPolicy execution;
    // How long a stream may take from its head on, in place of the request's deadline (TO-3).
    absl::Duration max_stream = absl::Hours(1);
  };

  IdempotencyFilter(Parts parts, Policy policy)
      : parts_(std::move(parts)), policy_(std::move(policy)) {}

  Task<http::Result> Call(http::Request& request, chain::Next next) override;

 private:
  // `beginnings`: how often it may still begin, when those that it joins end without their bodies.
  Task<http::Result> CallKeyed(http::Request& request, chain::Next next, std::string_view key,
                               int beginnings);
  Task<http::Result> Refuse(http::Failure failure, metrics::IdempotencyResult result);

  // The answer of a caller that has a place at a recording with a head.
  http::Response Answer(http::Request& request, std::unique_ptr<RecordingReader> reader,
                        std::unique_ptr<CallerLink> link, const BeginResult& begin);
  http::Failure StoredRefusal(const BeginResult& begin, const Fingerprint& fingerprint,
                              http::Request& request);
  http::Failure RefusalOf(const BeginResult& begin);
  http::Failure MismatchIn(RequestPart part);
  http::Failure RefuseInFlight();
  // What to answer in place of a replay that comes too soon.
  std::optional<http::Failure> LimitReplay(const http::Request& request);
  void Count(metrics::IdempotencyResult result);

  const IdempotencyPolicy& keys_policy() const { return policy_.execution.keys; }
  Loop& loop() const { return parts_.execution.loop; }

  const Parts parts_;
  const Policy policy_;
};

}  // namespace outrigger::idempotency
