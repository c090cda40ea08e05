#include "filters/idempotency/audit_log.h"

namespace outrigger::idempotency {

void AuditLog::OnTransition(const Event& event) {
  const bool is_notable =
      event.to == State::kUnknown || event.to == State::kTombstone || event.cause == Cause::kErased;
  Write(is_notable ? log::Level::kInfo : log::Level::kDebug, "idempotency_transition", event);
}

void AuditLog::OnIllegalTransition(const Event& event) {
  Write(log::Level::kError, "idempotency_illegal_transition", event);
}

void AuditLog::Write(log::Level level, std::string_view name, const Event& event) {
  if (!log_.is_enabled(level)) return;
  log_.Log(level, name)
      .Str("key", FormatHash(event.key_prefix))
      .Str("from", StateName(event.from))
      .Str("to", StateName(event.to))
      .Str("cause", CauseName(event.cause));
}

}  // namespace outrigger::idempotency
