// Writes each change of a key's state to the log (semantics ID-5, OB-5).
//
//   AuditLog audit(logs.shared());
//   KeyTable table({.limits = limits, .budget = &budget, .audit = &audit});
//
//   {"event":"idempotency_transition","key":"8f03c2d1a4b59e67","from":"executing","to":"unknown",
//    "cause":"no_outcome"}
//
// What a key normally goes through is logged at debug, what somebody may have to look into
// (unknown, tombstone, erased by hand) at info, a step that was refused at error. The key is its
// hash, which is what the admin interface takes. Any thread; the logger outlives it.

#pragma once

#include "filters/idempotency/table.h"
#include "proxy/log/logger.h"

namespace outrigger::idempotency {

class AuditLog final : public AuditListener {
 public:
  // REQUIRES: a logger for any thread.
  explicit AuditLog(log::Logger& log) : log_(log) {}

  void OnTransition(const Event& event) override;
  void OnIllegalTransition(const Event& event) override;

 private:
  void Write(log::Level level, std::string_view name, const Event& event);

  log::Logger& log_;
};

}  // namespace outrigger::idempotency
