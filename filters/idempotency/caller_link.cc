#include "filters/idempotency/caller_link.h"

namespace outrigger::idempotency {

void CallerLink::NoteDispatch() {
  caller_.was_dispatched = true;
  caller_.executed = http::Executed::kMaybe;
  caller_.record.idempotency = "executing";
}

void CallerLink::CopyRecord(const http::Request& executed, std::string_view state) {
  http::RequestRecord& record = caller_.record;
  const uint64_t response_bytes = record.response_bytes;
  const MonoTime first_content = record.first_content;
  record = executed.record;
  // What the caller's own driver counts.
  record.response_bytes = response_bytes;
  record.first_content = first_content;
  record.idempotency = state;
  caller_.attempt = executed.attempt;
}

void CallerLink::CopyResponseHeaders(const http::Request& executed) {
  Arena& arena = *caller_.arena;
  for (const http::HeaderField& field : executed.response_headers) {
    caller_.response_headers.Add({arena.Copy(field.name), arena.Copy(field.value), field.id});
  }
}

void CallerLink::SayOutcome(Outcome outcome, absl::Duration expires_in) {
  AppendOutcome(outcome, expires_in, *caller_.arena, caller_.response_headers);
}

void CallerLink::OnInformational(int status, const http::HeaderList& headers) {
  if (caller_.informational != nullptr) caller_.informational->OnInformational(status, headers);
}

}  // namespace outrigger::idempotency
