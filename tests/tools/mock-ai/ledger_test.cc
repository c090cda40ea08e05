#include "tools/mock-ai/ledger.h"

#include "gtest/gtest.h"

namespace outrigger::mock_ai {
namespace {

using Outcome = Ledger::Outcome;

TEST(Ledger, CountsExecutionsForEachId) {
  Ledger ledger(10);
  EXPECT_EQ(ledger.Receive("a"), 1U);
  EXPECT_EQ(ledger.Receive("a"), 2U);
  const Ledger::Ticket first = ledger.Begin("a", "/x");
  const Ledger::Ticket second = ledger.Begin("a", "/x");
  EXPECT_EQ(first.execution, 1U);
  EXPECT_EQ(second.execution, 2U);
  EXPECT_EQ(ledger.in_flight(), 2);
  ledger.End(first, Outcome::kCompleted, absl::Milliseconds(5));
  ledger.End(second, Outcome::kCancelled, absl::Milliseconds(7));
  const Json all = ledger.ToJson();
  EXPECT_EQ(all["total"], 2);
  EXPECT_EQ(all["received"], 2);
  EXPECT_EQ(all["in_flight"], 0);
  EXPECT_EQ(all["by_id"]["a"], 2);
  const Json entry = ledger.ToJson("a");
  EXPECT_EQ(entry["completed"], 1);
  EXPECT_EQ(entry["cancelled"], 1);
  EXPECT_EQ(entry["max_in_flight"], 2);
  EXPECT_EQ(entry["last_cancelled_after_ms"], 7.0);
  EXPECT_EQ(all["entries"][0], entry);
}

TEST(Ledger, AnIdThatNeverCameHasZeros) {
  const Json entry = Ledger(10).ToJson("nobody");
  EXPECT_EQ(entry["executed"], 0);
  EXPECT_EQ(entry["received"], 0);
}

TEST(Ledger, ForgetsExecutionsThatBeganBeforeItWasCleared) {
  Ledger ledger(10);
  const Ledger::Ticket before = ledger.Begin("a", "/");
  ledger.Clear();
  ledger.Begin("a", "/");
  ledger.End(before, Outcome::kBroken, absl::ZeroDuration());
  EXPECT_EQ(ledger.in_flight(), 1);
  EXPECT_EQ(ledger.ToJson("a")["broken"], 0);
}

TEST(Ledger, DropsTheOldestIdsButKeepsTheTotals) {
  Ledger ledger(2);
  const Ledger::Ticket oldest = ledger.Begin("a", "/");
  ledger.Begin("b", "/");
  ledger.Begin("c", "/");
  ledger.End(oldest, Outcome::kCompleted, absl::ZeroDuration());
  const Json all = ledger.ToJson();
  EXPECT_EQ(all["total"], 3);
  EXPECT_EQ(all["completed"], 1);
  EXPECT_EQ(all["in_flight"], 2);
  EXPECT_EQ(all["dropped_ids"], 1);
  EXPECT_FALSE(all["by_id"].contains("a"));
  EXPECT_EQ(all["by_id"]["c"], 1);
}

TEST(Ledger, IgnoresAnEmptyTicket) {
  Ledger ledger(2);
  ledger.End(Ledger::Ticket(), Outcome::kCompleted, absl::ZeroDuration());
  EXPECT_EQ(ledger.in_flight(), 0);
}

}  // namespace
}  // namespace outrigger::mock_ai
