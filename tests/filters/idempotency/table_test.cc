#include "filters/idempotency/table.h"

#include <malloc.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/filters/idempotency/table_support.h"

namespace outrigger::idempotency {
namespace {

using http::Effects;
using Kind = BeginResult::Kind;

class KeyTableTest : public testing::Test {
 protected:
  KeyTableTest() { Make({}, &audit_); }
  ~KeyTableTest() override {
    if (table_ == nullptr) return;
    EXPECT_TRUE(IsConserved(table_->Stats()));
    table_.reset();
    EXPECT_EQ(budget_.used_bytes(), 0u);
  }

  void Make(const TableLimits& limits, AuditListener* audit) {
    table_ = std::make_unique<KeyTable>(KeyTable::Options{
        .limits = limits, .budget = &budget_, .audit = audit, .clock = [this] { return now_; }});
  }

  BeginResult Begin(uint64_t key, Effects effects = Effects::kUnsafe,
                    const std::string& target = "/") {
    const StoreKey store_key = TestKey(key);
    const FingerprintHead head = TestFingerprint(target, "").head;
    return table_->Begin({store_key, head, effects, policy_, MonoTime::Infinite()}, now_);
  }

  // Begins, executes and stores an answer.
  void Store(uint64_t key, Effects effects, const std::string& body) {
    BeginResult begin = Begin(key, effects);
    ASSERT_EQ(begin.kind, Kind::kNew);
    ASSERT_TRUE(begin.reservation.MarkExecuting());
    Recording& recording = begin.reservation.recording();
    recording.SetFingerprint(TestFingerprint("/", "request"));
    recording.SetHead(200, NoHeaders(), "", body.size());
    recording.Append(body);
    recording.Complete(NoHeaders());
    ASSERT_EQ(begin.reservation.Complete(now_), State::kDone);
  }

  std::string Read(RecordingReader& reader) {
    std::string body;
    CountingWaiter waiter;
    EXPECT_EQ(ReadAvailable(reader, waiter, &body), ReadResult::State::kEnd);
    return body;
  }

  size_t Count(State state) { return CountOf(table_->Stats(), state); }

  MonoTime now_ = At(1000);
  MemoryBudget budget_{size_t{256} << 20};
  CollectingAudit audit_;
  IdempotencyPolicy policy_;
  std::unique_ptr<KeyTable> table_;
};

TEST_F(KeyTableTest, ExecutesOnceAndReplays) {
  Store(1, Effects::kUnsafe, "answer");
  now_ = now_ + absl::Minutes(10);
  BeginResult again = Begin(1);
  ASSERT_EQ(again.kind, Kind::kReplay);
  EXPECT_EQ(again.expires_at - now_, absl::Minutes(50));
  CountingWaiter waiter;
  EXPECT_EQ(again.reader->Compare(TestFingerprint("/", "request"), waiter).state,
            FingerprintMatch::State::kSame);
  EXPECT_EQ(again.reader->Compare(TestFingerprint("/", "other"), waiter).state,
            FingerprintMatch::State::kDiffers);
  EXPECT_EQ(Read(*again.reader), "answer");
}

TEST_F(KeyTableTest, LetsLateComersJoin) {
  BeginResult first = Begin(1);
  ASSERT_EQ(first.kind, Kind::kNew);
  BeginResult reserved = Begin(1);
  EXPECT_EQ(reserved.kind, Kind::kJoin);
  first.reservation.MarkExecuting();
  first.reservation.recording().SetHead(200, NoHeaders(), "", std::nullopt);
  first.reservation.recording().Append("abc");
  BeginResult executing = Begin(1);
  EXPECT_EQ(executing.kind, Kind::kJoin);
  EXPECT_EQ(first.reservation.recording().reader_status().count, 3u);
  first.reservation.recording().Complete(NoHeaders());
  first.reservation.Complete(now_);
  EXPECT_EQ(Read(*first.reader), "abc");
  EXPECT_EQ(Read(*reserved.reader), "abc");
  EXPECT_EQ(Read(*executing.reader), "abc");
}

TEST_F(KeyTableTest, NamesADifferenceInTheHeadInEveryState) {
  BeginResult first = Begin(1);
  EXPECT_EQ(Begin(1, Effects::kUnsafe, "/other").kind, Kind::kMismatch);
  first.reservation.MarkExecuting();
  EXPECT_EQ(Begin(1, Effects::kUnsafe, "/other").part, RequestPart::kPath);
  first.reservation.SetUnknown({}, now_);
  EXPECT_EQ(Begin(1, Effects::kUnsafe, "/other").kind, Kind::kMismatch);
  Store(2, Effects::kNone, "x");
  EXPECT_EQ(Begin(2, Effects::kNone, "/other").kind, Kind::kMismatch);
  // A refusal does not touch the record.
  EXPECT_EQ(Begin(2, Effects::kNone).kind, Kind::kReplay);
}

TEST_F(KeyTableTest, RejectsDuplicatesInFlightWhenToldTo) {
  policy_.in_flight = InFlight::kReject;
  BeginResult first = Begin(1);
  EXPECT_EQ(Begin(1).kind, Kind::kInFlight);
  first.reservation.Release();
  EXPECT_EQ(Begin(1).kind, Kind::kNew);
}

TEST_F(KeyTableTest, LimitsTheWaitersOfAKey) {
  policy_.max_waiters = 3;
  BeginResult first = Begin(1);
  std::vector<BeginResult> joined;
  joined.push_back(Begin(1));
  joined.push_back(Begin(1));
  EXPECT_EQ(joined.back().kind, Kind::kJoin);
  EXPECT_EQ(Begin(1).kind, Kind::kTooManyWaiters);
  joined.pop_back();
  EXPECT_EQ(Begin(1).kind, Kind::kJoin);
}

TEST_F(KeyTableTest, FreesTheKeyWhenNothingWasExecuted) {
  BeginResult first = Begin(1);
  EXPECT_TRUE(first.reservation.Release());
  BeginResult second = Begin(1);
  EXPECT_EQ(second.kind, Kind::kNew);
  second.reservation.MarkExecuting();
  EXPECT_TRUE(second.reservation.Release());  // proved not executed
  EXPECT_EQ(Begin(1).kind, Kind::kNew);
}

TEST_F(KeyTableTest, ReplaysAnUnknownOutcomeForTheKeysTime) {
  BeginResult first = Begin(1);
  first.reservation.MarkExecuting();
  first.reservation.recording().SetFingerprint(TestFingerprint("/", "request"));
  EXPECT_EQ(first.reservation.SetUnknown({504, http::Reason::kDeadline}, now_), State::kUnknown);
  const BeginResult again = Begin(1);
  ASSERT_EQ(again.kind, Kind::kUnknown);
  EXPECT_EQ(again.unknown.status, 504);
  EXPECT_EQ(again.unknown.reason, http::Reason::kDeadline);
  EXPECT_EQ(again.FindDifferenceFrom(TestFingerprint("/", "request")), std::nullopt);
  EXPECT_EQ(again.FindDifferenceFrom(TestFingerprint("/", "other")), RequestPart::kBody);
  now_ = now_ + (policy_.key_ttl - absl::Nanoseconds(1));
  EXPECT_EQ(Begin(1).kind, Kind::kUnknown);
  now_ = now_ + absl::Nanoseconds(1);
  EXPECT_EQ(Begin(1).kind, Kind::kNew);
}

TEST_F(KeyTableTest, ReleasesWhatMayRunTwiceInsteadOfAnUnknownOutcome) {
  for (Effects effects : {Effects::kNone, Effects::kKeyed}) {
    BeginResult first = Begin(1, effects);
    first.reservation.MarkExecuting();
    EXPECT_EQ(first.reservation.SetUnknown({}, now_), State::kAbsent);
    BeginResult second = Begin(1, effects);
    ASSERT_EQ(second.kind, Kind::kNew);
    second.reservation.MarkExecuting();
    EXPECT_EQ(second.reservation.GiveUpBody(now_), State::kAbsent);
  }
}

TEST_F(KeyTableTest, SettlesAnAbandonedReservationByItsEffects) {
  CountingWaiter waiter;
  for (Effects effects : {Effects::kNone, Effects::kKeyed, Effects::kUnsafe}) {
    for (bool executing : {false, true}) {
      const uint64_t key = static_cast<uint64_t>(effects) * 2 + (executing ? 1 : 0);
      BeginResult first = Begin(key, effects);
      if (executing) first.reservation.MarkExecuting();
      BeginResult joined = Begin(key, effects);
      first.reservation = {};
      EXPECT_EQ(joined.reader->AwaitHead(waiter), HeadState::kFailed);
      EXPECT_EQ(Begin(key, effects).kind,
                executing && effects == Effects::kUnsafe ? Kind::kUnknown : Kind::kNew);
    }
  }
  EXPECT_EQ(audit_.illegal().size(), 0u);
}

TEST_F(KeyTableTest, RefusesAndCountsIllegalSteps) {
  BeginResult first = Begin(1);
  first.reservation.recording().SetHead(200, NoHeaders(), "", std::nullopt);
  EXPECT_EQ(first.reservation.Complete(now_), std::nullopt);  // still running
  EXPECT_EQ(first.reservation.SetUnknown({}, now_), std::nullopt);
  EXPECT_EQ(first.reservation.GiveUpBody(now_), std::nullopt);
  EXPECT_TRUE(first.reservation.MarkExecuting());
  EXPECT_FALSE(first.reservation.MarkExecuting());
  EXPECT_TRUE(first.reservation.Release());
  EXPECT_FALSE(first.reservation.Release());
  EXPECT_FALSE(first.reservation.MarkExecuting());
  EXPECT_EQ(table_->Stats().illegal, 6u);
  EXPECT_EQ(Count(State::kUnknown), 0u);
}

TEST_F(KeyTableTest, ReportsEachTransition) {
  Store(1, Effects::kUnsafe, "x");
  now_ = now_ + policy_.key_ttl;
  table_->Sweep(now_, 10);
  std::vector<std::pair<State, State>> steps;
  for (const AuditListener::Event& event : audit_.events()) {
    EXPECT_EQ(event.key_prefix, TestKey(1).prefix());
    steps.emplace_back(event.from, event.to);
  }
  EXPECT_THAT(steps, testing::ElementsAre(testing::Pair(State::kAbsent, State::kReserved),
                                          testing::Pair(State::kReserved, State::kExecuting),
                                          testing::Pair(State::kExecuting, State::kDone),
                                          testing::Pair(State::kDone, State::kAbsent)));
}

TEST_F(KeyTableTest, ForgetsABodyBeforeItsKeyWhenUnsafe) {
  policy_.response_ttl = absl::Minutes(5);
  Store(1, Effects::kUnsafe, "x");
  Store(2, Effects::kNone, "x");
  now_ = now_ + absl::Minutes(5);
  const BeginResult tombstone = Begin(1);
  EXPECT_EQ(tombstone.kind, Kind::kTombstone);
  EXPECT_EQ(tombstone.expires_at - now_, absl::Minutes(55));
  EXPECT_EQ(tombstone.FindDifferenceFrom(TestFingerprint("/", "other")), RequestPart::kBody);
  EXPECT_EQ(Begin(2, Effects::kNone).kind, Kind::kNew);
  now_ = now_ + absl::Minutes(55);
  EXPECT_EQ(Begin(1).kind, Kind::kNew);
}

TEST_F(KeyTableTest, CountsTheTimeToLiveFromCompletion) {
  BeginResult first = Begin(1);
  first.reservation.MarkExecuting();
  now_ = now_ + 2 * policy_.key_ttl;
  EXPECT_EQ(Begin(1).kind, Kind::kJoin);
  first.reservation.recording().SetHead(200, NoHeaders(), "", 0);
  first.reservation.recording().Complete(NoHeaders());
  first.reservation.Complete(now_);
  now_ = now_ + (policy_.key_ttl - absl::Nanoseconds(1));
  EXPECT_EQ(Begin(1).kind, Kind::kReplay);
}

TEST_F(KeyTableTest, LeavesATombstoneForAnUnsafeAnswerThatIsTooBig) {
  policy_.max_body_bytes = 10;
  for (Effects effects : {Effects::kUnsafe, Effects::kNone}) {
    const uint64_t key = static_cast<uint64_t>(effects);
    BeginResult first = Begin(key, effects);
    first.reservation.MarkExecuting();
    Recording& recording = first.reservation.recording();
    recording.SetHead(200, NoHeaders(), "", std::nullopt);
    recording.Append("more than ten");
    EXPECT_EQ(Begin(key, effects).kind, Kind::kInFlight);  // can no longer be joined
    recording.Complete(NoHeaders());
    const State reached = effects == Effects::kUnsafe ? State::kTombstone : State::kAbsent;
    EXPECT_EQ(first.reservation.Complete(now_), reached);
    EXPECT_EQ(Read(*first.reader), "more than ten");
  }
  EXPECT_EQ(table_->Stats().body_bytes, 0u);
}

TEST_F(KeyTableTest, EvictsTheOldestBodyFirst) {
  Make({.max_keys = 100, .max_bodies_bytes = 40000}, &audit_);
  const std::string body(10000, 'x');
  Store(1, Effects::kUnsafe, body);
  now_ = now_ + absl::Seconds(1);
  Store(2, Effects::kNone, body);
  now_ = now_ + absl::Seconds(1);
  Store(3, Effects::kUnsafe, body);
  BeginResult reading = Begin(1);
  now_ = now_ + absl::Seconds(1);
  Store(4, Effects::kNone, body);
  EXPECT_EQ(Begin(1).kind, Kind::kTombstone);
  EXPECT_EQ(Read(*reading.reader), body);  // whoever reads it goes on
  EXPECT_EQ(Begin(3).kind, Kind::kReplay);
  now_ = now_ + absl::Seconds(1);
  Store(5, Effects::kNone, body);
  EXPECT_EQ(Begin(2, Effects::kNone).kind, Kind::kNew);
  EXPECT_EQ(Begin(3).kind, Kind::kReplay);
  EXPECT_LE(table_->Stats().body_bytes, 40000u);
  EXPECT_EQ(table_->Stats().evicted, 2u);
}

TEST_F(KeyTableTest, SmallerLimitsLetTheOldestAnswersGo) {
  Make({.max_keys = 100, .max_bodies_bytes = 100'000}, &audit_);
  for (uint64_t key = 1; key <= 6; ++key) {
    Store(key, key <= 4 ? Effects::kNone : Effects::kUnsafe, std::string(10'000, 'x'));
    now_ = now_ + absl::Seconds(1);
  }
  table_->SetLimits({.max_keys = 3, .max_bodies_bytes = 100'000});
  EXPECT_EQ(Count(State::kDone), 3u) << "the oldest harmless ones";
  EXPECT_EQ(Begin(4, Effects::kNone).kind, Kind::kReplay);
  table_->SetLimits({.max_keys = 3, .max_bodies_bytes = 15'000});
  EXPECT_LE(table_->Stats().body_bytes, 15'000u);
  EXPECT_EQ(Begin(5).kind, Kind::kTombstone) << "it must not be executed again";
  EXPECT_EQ(Begin(6).kind, Kind::kReplay);
  table_->SetLimits({.max_keys = 100, .max_bodies_bytes = 100'000});
  Store(7, Effects::kNone, std::string(10'000, 'x'));
  EXPECT_EQ(Begin(7, Effects::kNone).kind, Kind::kReplay);
}

TEST_F(KeyTableTest, GivesUpTheBodyThatWouldNotFitBesideRunningOnes) {
  Make({.max_keys = 100, .max_bodies_bytes = 40000}, &audit_);
  BeginResult running = Begin(1);
  running.reservation.recording().SetHead(200, NoHeaders(), "", 30000);
  running.reservation.recording().Append(std::string(30000, 'x'));
  BeginResult second = Begin(2);
  second.reservation.recording().SetHead(200, NoHeaders(), "", 20000);
  second.reservation.recording().Append(std::string(20000, 'x'));
  EXPECT_FALSE(running.reservation.recording().overflowed());
  EXPECT_TRUE(second.reservation.recording().overflowed());
}

TEST_F(KeyTableTest, ForgetsTheOldestHarmlessAnswerWhenKeysRunOut) {
  Make({.max_keys = 3}, &audit_);
  Store(1, Effects::kUnsafe, "x");
  now_ = now_ + absl::Seconds(1);
  Store(2, Effects::kNone, "x");
  now_ = now_ + absl::Seconds(1);
  Store(3, Effects::kKeyed, "x");
  BeginResult fourth = Begin(4);
  EXPECT_EQ(fourth.kind, Kind::kNew);
  EXPECT_EQ(Begin(1).kind, Kind::kReplay);
  EXPECT_EQ(Begin(3, Effects::kKeyed).kind, Kind::kReplay);
  BeginResult fifth = Begin(5);
  EXPECT_EQ(fifth.kind, Kind::kNew);
  // Left are an unsafe answer and two executions.
  BeginResult sixth = Begin(6);
  EXPECT_EQ(sixth.kind, Kind::kFull);
  EXPECT_FALSE(sixth.bypass);
  EXPECT_TRUE(Begin(6, Effects::kNone).bypass);
  EXPECT_TRUE(Begin(6, Effects::kKeyed).bypass);
  policy_.on_full = OnFull::kBypass;
  EXPECT_TRUE(Begin(6).bypass);
  EXPECT_EQ(Begin(1).kind, Kind::kReplay);
}

TEST_F(KeyTableTest, MakesRoomOfWhatHasExpiredAnywhere) {
  Make({.max_keys = 50}, &audit_);
  for (uint64_t key = 0; key < 50; ++key) Store(key, Effects::kUnsafe, "");
  EXPECT_EQ(Begin(100).kind, Kind::kFull);
  now_ = now_ + policy_.key_ttl;
  EXPECT_EQ(Begin(100).kind, Kind::kNew);
}

TEST_F(KeyTableTest, SweepsALittleAtATime) {
  for (uint64_t key = 0; key < 50; ++key) Store(key, Effects::kNone, "");
  EXPECT_EQ(table_->Sweep(now_, 100), 0u);
  now_ = now_ + policy_.key_ttl;
  EXPECT_EQ(table_->Sweep(now_, 20), 20u);
  EXPECT_EQ(Count(State::kDone), 30u);
  EXPECT_EQ(table_->Sweep(now_, 100), 30u);
  EXPECT_EQ(table_->Stats().expired, 50u);
  EXPECT_EQ(table_->Stats().body_bytes, 0u);
}

TEST_F(KeyTableTest, ErasesByHashInEveryState) {
  Store(1, Effects::kUnsafe, "x");
  BeginResult second = Begin(2);
  second.reservation.MarkExecuting();
  second.reservation.SetUnknown({}, now_);
  for (uint64_t key : {1, 2}) {
    EXPECT_EQ(table_->Erase(*ParseHash(TestKey(key).Hash())), 1u);
    EXPECT_EQ(Begin(key).kind, Kind::kNew);
  }
  EXPECT_EQ(table_->Erase(TestKey(3).prefix()), 0u);
}

TEST_F(KeyTableTest, AnErasedExecutionDoesNotTouchItsSuccessor) {
  BeginResult first = Begin(1);
  first.reservation.MarkExecuting();
  EXPECT_EQ(table_->Erase(TestKey(1).prefix()), 1u);
  BeginResult second = Begin(1);
  ASSERT_EQ(second.kind, Kind::kNew);
  EXPECT_EQ(first.reservation.SetUnknown({}, now_), std::nullopt);
  EXPECT_EQ(table_->Stats().orphaned, 1u);
  EXPECT_TRUE(second.reservation.MarkExecuting());
}

// Semantics B1, goal 6. Memory is counted by the allocator, so that the table's own is included.
TEST_F(KeyTableTest, KeepsTenThousandTombstonesInTwoMebibytes) {
  static_assert(KeyTable::kEntryBytes <= 96);
  Make({.max_keys = 10000}, nullptr);  // a listener would take memory too
  // Sanitizers bring an allocator of their own, which does not count.
  const size_t before = mallinfo2().uordblks;
  for (uint64_t key = 0; key < 10000; ++key) {
    BeginResult begin = Begin(key);
    ASSERT_EQ(begin.kind, Kind::kNew);
    begin.reservation.MarkExecuting();
    begin.reservation.recording().SetFingerprint(TestFingerprint("/", "x"));
    ASSERT_EQ(begin.reservation.GiveUpBody(now_), State::kTombstone);
  }
  EXPECT_EQ(Count(State::kTombstone), 10000u);
  EXPECT_LE(budget_.used_bytes(), size_t{10000} * 96);
  const size_t allocated = mallinfo2().uordblks - before;
  RecordProperty("allocated_bytes", std::to_string(allocated));
  EXPECT_LE(allocated, size_t{2} << 20);
}

}  // namespace
}  // namespace outrigger::idempotency
