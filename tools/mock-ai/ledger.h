// The effect ledger: how often each request really executed, as the service itself saw it.
//
//   uint64_t nth = ledger.Receive(id);                   // a request arrived
//   Ledger::Ticket ticket = ledger.Begin(id, path);      // it executes; ticket.execution is 1, 2
//   ... ledger.End(ticket, Ledger::Outcome::kCompleted, elapsed);
//
// *Received* counts requests whose head was read, *executed* those that had their effect. One
// thread. The oldest ids are dropped beyond `max_ids`; the totals keep counting them.

#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

#include "absl/time/time.h"
#include "tools/mock-ai/json_fields.h"

namespace outrigger::mock_ai {

class Ledger {
 public:
  // kCancelled: the client went away before the end. kBroken: a fault ended it.
  enum class Outcome { kCompleted, kCancelled, kBroken };

  struct Ticket {
    std::string id;
    uint64_t execution = 0;  // 0: nothing was begun
    uint64_t generation = 0;
  };

  explicit Ledger(size_t max_ids) : max_ids_(max_ids) {}

  // How often this id was received, this time included.
  uint64_t Receive(std::string_view id);
  Ticket Begin(std::string_view id, std::string_view path);
  // Does nothing for an empty ticket or one from before Clear().
  void End(const Ticket& ticket, Outcome outcome, absl::Duration elapsed);
  void Clear();

  int64_t in_flight() const { return totals_.in_flight; }
  // All of it, or with `id` only that entry.
  Json ToJson() const;
  Json ToJson(std::string_view id) const;

 private:
  struct Counts {
    uint64_t received = 0;
    uint64_t executed = 0;
    uint64_t completed = 0;
    uint64_t cancelled = 0;
    uint64_t broken = 0;
    int64_t in_flight = 0;
    int64_t max_in_flight = 0;
  };
  struct Entry {
    Counts counts;
    std::string path;  // of the latest execution
    double last_elapsed_ms = 0;
    double last_cancelled_after_ms = -1;  // negative: never cancelled
  };

  static Json CountsJson(const Counts& counts);
  static Json EntryJson(std::string_view id, const Entry& entry);
  Entry& Find(std::string_view id);

  const size_t max_ids_;
  uint64_t generation_ = 1;
  uint64_t dropped_ids_ = 0;
  Counts totals_;
  std::unordered_map<std::string, Entry> entries_;
  std::deque<std::string> order_;  // of first sight
};

}  // namespace outrigger::mock_ai
