// The tie between an execution and the request that began it, as long as both live.
//
// The execution runs on a request of its own; through the link it tells the first caller what only
// that one learns: its record for the log, the fields that filters add to its answer, 1xx answers.
// When the caller goes first, the execution is told, because the caller's body went with it.
//
// Owned by the caller's side: first by its frame, then by the body of its response; the caller's
// request outlives it. One worker.

#pragma once

#include <string_view>

#include "absl/time/time.h"
#include "filters/idempotency/replay.h"
#include "proxy/base/pooled.h"
#include "proxy/http/request.h"

namespace outrigger::idempotency {

class CallerLink : public Pooled {
 public:
  // The execution's end of it.
  class Execution {
   public:
    virtual void OnCallerGone() = 0;

   protected:
    ~Execution() = default;
  };

  explicit CallerLink(http::Request& caller) : caller_(caller) {}
  ~CallerLink() {
    if (execution_ != nullptr) execution_->OnCallerGone();
  }
  CallerLink(const CallerLink&) = delete;
  CallerLink& operator=(const CallerLink&) = delete;

  void Attach(Execution& execution) { execution_ = &execution; }
  // The execution is over.
  void Detach() { execution_ = nullptr; }

  // The first byte is about to go upstream.
  void NoteDispatch();
  // What the filters know so far, for the log; `state`: a word of RequestRecord::idempotency.
  void CopyRecord(const http::Request& executed, std::string_view state);
  // Once, before the caller's answer begins: the fields that filters add to it.
  void CopyResponseHeaders(const http::Request& executed);
  // `x-outrigger-idempotency` on the caller's answer.
  void SayOutcome(Outcome outcome, absl::Duration expires_in);
  void OnInformational(int status, const http::HeaderList& headers);

 private:
  http::Request& caller_;
  Execution* execution_ = nullptr;
};

}  // namespace outrigger::idempotency
