#include "tools/mock-ai/ledger.h"

#include <algorithm>

namespace outrigger::mock_ai {

Ledger::Entry& Ledger::Find(std::string_view id) {
  const auto [found, is_new] = entries_.try_emplace(std::string(id));
  if (is_new) {
    order_.push_back(found->first);
    if (order_.size() > max_ids_) {
      entries_.erase(order_.front());
      order_.pop_front();
      ++dropped_ids_;
    }
  }
  return found->second;
}

uint64_t Ledger::Receive(std::string_view id) {
  ++totals_.received;
  return ++Find(id).counts.received;
}

Ledger::Ticket Ledger::Begin(std::string_view id, std::string_view path) {
  Entry& entry = Find(id);
  entry.path = path;
  for (Counts* counts : {&totals_, &entry.counts}) {
    ++counts->executed;
    ++counts->in_flight;
    counts->max_in_flight = std::max(counts->max_in_flight, counts->in_flight);
  }
  return {std::string(id), entry.counts.executed, generation_};
}

void Ledger::End(const Ticket& ticket, Outcome outcome, absl::Duration elapsed) {
  if (ticket.execution == 0 || ticket.generation != generation_) return;
  const auto count = [outcome](Counts& counts) {
    --counts.in_flight;
    if (outcome == Outcome::kCompleted) ++counts.completed;
    if (outcome == Outcome::kCancelled) ++counts.cancelled;
    if (outcome == Outcome::kBroken) ++counts.broken;
  };
  count(totals_);
  const auto found = entries_.find(ticket.id);
  // Dropped while it ran; when the id came back since then, that entry knows nothing of this run.
  if (found == entries_.end() || found->second.counts.in_flight == 0) return;
  Entry& entry = found->second;
  count(entry.counts);
  entry.last_elapsed_ms = absl::ToDoubleMilliseconds(elapsed);
  if (outcome == Outcome::kCancelled) entry.last_cancelled_after_ms = entry.last_elapsed_ms;
}

void Ledger::Clear() {
  ++generation_;
  dropped_ids_ = 0;
  totals_ = Counts();
  entries_.clear();
  order_.clear();
}

Json Ledger::CountsJson(const Counts& counts) {
  return {{"received", counts.received},   {"executed", counts.executed},
          {"in_flight", counts.in_flight}, {"max_in_flight", counts.max_in_flight},
          {"completed", counts.completed}, {"cancelled", counts.cancelled},
          {"broken", counts.broken}};
}

Json Ledger::EntryJson(std::string_view id, const Entry& entry) {
  Json json = {{"id", id}, {"path", entry.path}};
  json.update(CountsJson(entry.counts));
  json["last_elapsed_ms"] = entry.last_elapsed_ms;
  if (entry.last_cancelled_after_ms >= 0) {
    json["last_cancelled_after_ms"] = entry.last_cancelled_after_ms;
  }
  return json;
}

Json Ledger::ToJson() const {
  Json json = {{"total", totals_.executed}};
  json.update(CountsJson(totals_));
  json["dropped_ids"] = dropped_ids_;
  json["by_id"] = Json::object();
  json["entries"] = Json::array();
  Json& by_id = json["by_id"];
  for (const std::string& id : order_) {
    const Entry& entry = entries_.at(id);
    // Ordered objects search linearly on every insertion; ids are unique here already.
    by_id.get_ref<Json::object_t&>().emplace_back(id, entry.counts.executed);
    json["entries"].push_back(EntryJson(id, entry));
  }
  return json;
}

Json Ledger::ToJson(std::string_view id) const {
  const auto found = entries_.find(std::string(id));
  return EntryJson(id, found == entries_.end() ? Entry() : found->second);
}

}  // namespace outrigger::mock_ai
