#include "filters/idempotency/recording.h"

#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "filters/idempotency/recording_reader.h"
#include "gtest/gtest.h"
#include "tests/filters/idempotency/recording_support.h"

namespace outrigger::idempotency {
namespace {

using State = ReadResult::State;

class RecordingTest : public testing::Test {
 protected:
  ~RecordingTest() override {
    recording_.Reset();
    // Whatever a test did: nothing stays charged.
    EXPECT_EQ(budget_.used_bytes(), 0u);
    EXPECT_EQ(quota_.used(), 0u);
  }

  void Make(RecordingLimits limits = {}) {
    recording_ = MakeRef<Recording>(limits, budget_, quota_);
  }
  void SetHead(std::optional<uint64_t> length = std::nullopt) {
    recording_->SetHead(200, NoHeaders(), "id-1", length);
  }

  MemoryBudget budget_{size_t{64} << 20};
  CountingQuota quota_;
  CountingWaiter waiter_;
  RefPtr<Recording> recording_;
};

TEST_F(RecordingTest, GivesEveryReaderTheWholeAnswer) {
  Make();
  const auto early = Join(*recording_);
  EXPECT_EQ(early->AwaitHead(waiter_), HeadState::kWait);
  http::HeaderList headers;
  headers.Add("Content-Type", "text/plain");
  recording_->SetHead(201, headers, "id-1", std::nullopt);
  EXPECT_EQ(waiter_.wakes(), 1);
  ASSERT_EQ(early->AwaitHead(waiter_), HeadState::kReady);
  EXPECT_EQ(recording_->head().status, 201);
  EXPECT_EQ(recording_->head().request_id, "id-1");

  std::string body;
  EXPECT_EQ(ReadAvailable(*early, waiter_, &body), State::kWait);
  recording_->Append("hello ");
  EXPECT_EQ(waiter_.wakes(), 2);
  const auto late = Join(*recording_);
  recording_->Append("world");
  EXPECT_EQ(waiter_.wakes(), 2);  // was not armed again
  EXPECT_EQ(ReadAvailable(*early, waiter_, &body), State::kWait);
  http::HeaderList trailers;
  trailers.Add("X-Sum", "1");
  recording_->Complete(trailers);
  EXPECT_EQ(waiter_.wakes(), 3);
  EXPECT_EQ(ReadAvailable(*early, waiter_, &body), State::kEnd);
  EXPECT_EQ(body, "hello world");

  std::string late_body;
  EXPECT_EQ(ReadAvailable(*late, waiter_, &late_body), State::kEnd);
  EXPECT_EQ(late_body, "hello world");
  http::HeaderList seen;
  late->trailers().AppendTo(seen);
  EXPECT_EQ(seen.Get("x-sum"), "1");
}

TEST_F(RecordingTest, KeepsTheWakeUpForWhoeverIsArmed) {
  Make();
  SetHead();
  CountingWaiter a_waiter;
  CountingWaiter b_waiter;
  const auto a = Join(*recording_);
  auto b = Join(*recording_);
  a->Next(a_waiter);
  b->Next(b_waiter);
  b->Disarm();
  recording_->Append("x");
  EXPECT_EQ(a_waiter.wakes(), 1);
  EXPECT_EQ(b_waiter.wakes(), 0);
  std::string body;
  ReadAvailable(*b, b_waiter, &body);
  b.reset();
  recording_->Append("y");
  EXPECT_EQ(b_waiter.wakes(), 0);
}

TEST_F(RecordingTest, GivesWhatWasPublishedAndThenTheFailure) {
  Make();
  const auto reader = Join(*recording_);
  SetHead();
  recording_->Append("partial");
  http::Failure failure;
  failure.reason = http::Reason::kInterTokenTimeout;
  recording_->Fail(failure);
  std::string body;
  EXPECT_EQ(ReadAvailable(*reader, waiter_, &body), State::kFailed);
  EXPECT_EQ(body, "partial");
  EXPECT_EQ(reader->failure().reason, http::Reason::kInterTokenTimeout);
}

TEST_F(RecordingTest, FailsWaitersForTheHead) {
  Make();
  const auto reader = Join(*recording_);
  EXPECT_EQ(reader->AwaitHead(waiter_), HeadState::kWait);
  recording_->Fail({});
  EXPECT_EQ(waiter_.wakes(), 1);
  EXPECT_EQ(reader->AwaitHead(waiter_), HeadState::kFailed);
}

TEST_F(RecordingTest, CoalescesSmallAppendsIntoStablePointers) {
  Make();
  SetHead();
  const auto reader = Join(*recording_);
  recording_->Append("a");
  const ReadResult first = reader->Next(waiter_);
  recording_->Append("b");
  const ReadResult second = reader->Next(waiter_);
  EXPECT_EQ(first.data, "a");
  EXPECT_EQ(second.data, "b");
  EXPECT_EQ(first.data.data() + 1, second.data.data());
  EXPECT_EQ(first.hold.get(), second.hold.get());
}

TEST_F(RecordingTest, ASegmentOutlivesItsRecording) {
  Make();
  SetHead();
  auto reader = Join(*recording_);
  recording_->Append("bytes");
  ReadResult read = reader->Next(waiter_);
  recording_->Fail({});
  reader.reset();
  recording_.Reset();
  EXPECT_EQ(read.data, "bytes");
  EXPECT_GT(budget_.used_bytes(), 0u);
  read = {};
  EXPECT_EQ(budget_.used_bytes(), 0u);
}

TEST_F(RecordingTest, TakesNoMoreThanTheAnnouncedLength) {
  Make();
  SetHead(100);
  const size_t before = budget_.used_bytes();
  recording_->Append(std::string(60, 'a'));
  recording_->Append(std::string(40, 'b'));
  EXPECT_EQ(budget_.used_bytes() - before, Segment::Cost(100));
}

TEST_F(RecordingTest, WastesLittleOfALongBody) {
  Make({.max_body_bytes = size_t{4} << 20});
  SetHead();
  for (int i = 0; i < 20000; ++i) recording_->Append(std::string(100, 'x'));
  EXPECT_EQ(recording_->body_bytes(), 2000000u);
  EXPECT_LT(budget_.used_bytes(), 2000000u * 102 / 100 + Recording::kMaxSegmentBytes);
}

TEST_F(RecordingTest, ReadsRandomBodiesInRandomSteps) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 100; ++round) {
    RecordingLimits limits;
    limits.max_body_bytes = random() % 3 == 0 ? random() % 60000 : 1000000;
    limits.window_bytes = 1 + random() % 50000;
    Make(limits);
    SetHead(random() % 2 == 0 ? std::nullopt : std::optional<uint64_t>(random() % 50000));
    std::string sent;
    std::vector<std::pair<std::unique_ptr<RecordingReader>, std::string>> readers;
    for (int step = 0; step < 200; ++step) {
      switch (random() % 4) {
        case 0:
          if (auto reader = Join(*recording_)) readers.emplace_back(std::move(reader), "");
          break;
        case 1:
          if (!readers.empty()) {
            auto& [reader, body] = readers[random() % readers.size()];
            const ReadResult read = reader->Next(waiter_);
            body += read.data;
            ASSERT_LE(body.size(), sent.size());
            ASSERT_EQ(read.state == State::kWait, read.data.empty());
          }
          break;
        case 2: {
          if (recording_->WaitForRoom(waiter_)) break;
          std::string data(1 + random() % (random() % 8 == 0 ? 40000 : 500), '\0');
          for (char& c : data) c = static_cast<char>(random());
          recording_->Append(data);
          sent += data;
          break;
        }
        case 3:
          if (random() % 8 == 0 && !readers.empty()) readers.erase(readers.begin());
          break;
      }
    }
    recording_->Complete(NoHeaders());
    for (auto& [reader, body] : readers) {
      EXPECT_EQ(ReadAvailable(*reader, waiter_, &body), State::kEnd);
      EXPECT_TRUE(body == sent);
    }
  }
}

// --- Fingerprints ---

TEST_F(RecordingTest, ComparesOnceBothRequestsAreRead) {
  Make();
  const auto reader = Join(*recording_);
  Fingerprint mine;
  mine.digest.fill(1);
  using MatchState = FingerprintMatch::State;
  EXPECT_EQ(reader->Compare(mine, waiter_).state, MatchState::kPending);
  EXPECT_EQ(waiter_.wakes(), 0);
  recording_->SetFingerprint(mine);
  EXPECT_EQ(waiter_.wakes(), 1);
  EXPECT_EQ(reader->Compare(mine, waiter_).state, MatchState::kSame);
  Fingerprint other = mine;
  other.digest.fill(2);
  const FingerprintMatch match = reader->Compare(other, waiter_);
  EXPECT_EQ(match.state, MatchState::kDiffers);
  EXPECT_EQ(match.part, RequestPart::kBody);
}

TEST_F(RecordingTest, CannotCompareWithARequestThatWasNeverRead) {
  Make();
  const auto reader = Join(*recording_);
  EXPECT_EQ(reader->Compare({}, waiter_).state, FingerprintMatch::State::kPending);
  recording_->Fail({});
  EXPECT_EQ(waiter_.wakes(), 1);
  EXPECT_EQ(reader->Compare({}, waiter_).state, FingerprintMatch::State::kUndecidable);
}

// --- Readers as their owner sees them ---

TEST_F(RecordingTest, RefusesMoreReadersThanAllowedWhileRunning) {
  Make({.max_readers = 2});
  SetHead();
  const auto a = Join(*recording_);
  auto b = Join(*recording_);
  JoinRefusal refusal;
  EXPECT_EQ(recording_->AddReader(MonoTime(), &refusal), nullptr);
  EXPECT_EQ(refusal, JoinRefusal::kTooManyReaders);
  b.reset();
  b = recording_->AddReader(MonoTime(), &refusal);
  EXPECT_NE(b, nullptr);
  recording_->Complete(NoHeaders());
  EXPECT_NE(recording_->AddReader(MonoTime(), &refusal), nullptr);
}

TEST_F(RecordingTest, TellsItsOwnerWhenReadersGo) {
  Make();
  const MonoTime t1 = MonoTime::FromNanos(100);
  const MonoTime t2 = MonoTime::FromNanos(200);
  auto a = Join(*recording_, t2);
  ReaderStatus status = recording_->reader_status();
  EXPECT_EQ(status.count, 1u);
  EXPECT_EQ(status.latest_deadline, t2);

  CountingWaiter owner;
  ASSERT_TRUE(recording_->WaitForReaders(owner, status.version));
  auto b = Join(*recording_, t1);
  EXPECT_EQ(owner.wakes(), 0);  // the execution's end is not touched
  a.reset();
  EXPECT_EQ(owner.wakes(), 1);
  EXPECT_FALSE(recording_->WaitForReaders(owner, status.version));
  status = recording_->reader_status();
  EXPECT_EQ(status.count, 1u);
  EXPECT_EQ(status.latest_deadline, t1);

  ASSERT_TRUE(recording_->WaitForReaders(owner, status.version));
  b->SetDeadline(t2);
  EXPECT_EQ(owner.wakes(), 1);
  EXPECT_EQ(recording_->reader_status().latest_deadline, t2);
  b->SetDeadline(t1);
  EXPECT_EQ(owner.wakes(), 2);

  status = recording_->reader_status();
  ASSERT_TRUE(recording_->WaitForReaders(owner, status.version));
  b.reset();
  EXPECT_EQ(owner.wakes(), 3);
  EXPECT_EQ(recording_->reader_status().count, 0u);

  status = recording_->reader_status();
  ASSERT_TRUE(recording_->WaitForReaders(owner, status.version));
  recording_->StopOwnerWaits();
  a = Join(*recording_, t1);
  EXPECT_EQ(owner.wakes(), 3);
}

// --- Too big to keep ---

TEST_F(RecordingTest, IsPacedByItsSlowestReaderAfterOverflow) {
  Make({.max_body_bytes = 10000, .window_bytes = 5000});
  SetHead();
  auto slow = Join(*recording_);
  const auto fast = Join(*recording_);
  std::string sent;
  CountingWaiter writer;
  const auto append = [&](size_t bytes) {
    std::string data;
    for (size_t i = 0; i < bytes; ++i)
      data.push_back(static_cast<char>('a' + (sent.size() + i) % 26));
    recording_->Append(data);
    sent += data;
  };
  append(10000);
  EXPECT_FALSE(recording_->overflowed());
  EXPECT_FALSE(recording_->WaitForRoom(writer));
  EXPECT_GT(quota_.used(), 0u);
  append(1);
  EXPECT_TRUE(recording_->overflowed());
  EXPECT_EQ(quota_.used(), 0u);
  JoinRefusal refusal;
  EXPECT_EQ(recording_->AddReader(MonoTime(), &refusal), nullptr);
  EXPECT_EQ(refusal, JoinRefusal::kOverflowed);

  ASSERT_TRUE(recording_->WaitForRoom(writer));
  std::string fast_body;
  EXPECT_EQ(ReadAvailable(*fast, waiter_, &fast_body), State::kWait);
  EXPECT_EQ(fast_body, sent);
  EXPECT_EQ(writer.wakes(), 0);
  std::string slow_body;
  while (writer.wakes() == 0) {
    const ReadResult read = slow->Next(waiter_);
    ASSERT_EQ(read.state, State::kData);
    slow_body += read.data;
  }
  EXPECT_LT(sent.size() - slow->position(), 5000u);
  EXPECT_FALSE(recording_->WaitForRoom(writer));

  // A reader that leaves no longer holds anybody up.
  while (!recording_->WaitForRoom(writer)) append(500);
  EXPECT_EQ(ReadAvailable(*fast, waiter_, &fast_body), State::kWait);
  EXPECT_EQ(writer.wakes(), 1);
  slow.reset();
  EXPECT_EQ(writer.wakes(), 2);

  append(700);
  recording_->Complete(NoHeaders());
  EXPECT_EQ(ReadAvailable(*fast, waiter_, &fast_body), State::kEnd);
  EXPECT_EQ(fast_body, sent);
}

TEST_F(RecordingTest, KeepsOnlyTheWindowAfterOverflow) {
  constexpr size_t kWindow = 64 << 10;
  Make({.max_body_bytes = 100000, .window_bytes = kWindow});
  SetHead();
  const auto reader = Join(*recording_);
  std::string body;
  const std::string data(8192, 'x');
  for (int i = 0; i < 1000; ++i) {
    recording_->Append(data);
    if (recording_->WaitForRoom(waiter_)) ReadAvailable(*reader, waiter_, &body);
    if (i > 50) {
      ASSERT_LT(budget_.used_bytes(), kWindow + 4 * Recording::kMaxSegmentBytes);
    }
  }
  ReadAvailable(*reader, waiter_, &body);
  EXPECT_EQ(body.size(), 8192u * 1000);
}

TEST_F(RecordingTest, KeepsNothingWithoutReadersAfterOverflow) {
  Make({.max_body_bytes = 1000});
  SetHead();
  {
    const auto reader = Join(*recording_);
    recording_->Append(std::string(5000, 'x'));
  }
  for (int i = 0; i < 100; ++i) {
    recording_->Append(std::string(100000, 'x'));
    EXPECT_FALSE(recording_->WaitForRoom(waiter_));
  }
  // Not even the segment that the writer is filling is worth more than one.
  EXPECT_LT(budget_.used_bytes(), 2 * Recording::kMaxSegmentBytes);
  EXPECT_EQ(recording_->body_bytes(), 5000u + 100u * 100000u);
  recording_->Complete(NoHeaders());
}

TEST_F(RecordingTest, OverflowsAtOnceWhenTheAnnouncedLengthDoesNotFit) {
  Make({.max_body_bytes = 1000});
  const auto reader = Join(*recording_);
  SetHead(1001);
  EXPECT_TRUE(recording_->overflowed());
  recording_->Append("abc");
  std::string body;
  EXPECT_EQ(ReadAvailable(*reader, waiter_, &body), State::kWait);
  EXPECT_EQ(body, "abc");
}

TEST_F(RecordingTest, OverflowsWhenTheMemoryBudgetIsShort) {
  Make();
  const auto reader = Join(*recording_);
  SetHead();
  const size_t others = budget_.limit_bytes() / 100 * 80;
  budget_.Charge(others);
  recording_->Append("abc");
  EXPECT_TRUE(recording_->overflowed());
  std::string body;
  EXPECT_EQ(ReadAvailable(*reader, waiter_, &body), State::kWait);
  EXPECT_EQ(body, "abc");
  budget_.Release(others);
}

TEST(RecordingQuotaTest, OverflowsWhenTheTableHasNoRoom) {
  MemoryBudget budget(1 << 20);
  CountingQuota quota(5000);
  CountingWaiter waiter;
  const auto recording = MakeRef<Recording>(RecordingLimits(), budget, quota);
  const auto reader = Join(*recording);
  recording->SetHead(200, NoHeaders(), "", std::nullopt);
  std::string sent;
  for (int i = 0; i < 100; ++i) {
    sent += std::to_string(i) + std::string(100, ' ');
    recording->Append(std::string_view(sent).substr(static_cast<size_t>(recording->body_bytes())));
  }
  EXPECT_TRUE(recording->overflowed());
  EXPECT_EQ(quota.used(), 0u);
  recording->Complete(NoHeaders());
  std::string body;
  EXPECT_EQ(ReadAvailable(*reader, waiter, &body), State::kEnd);
  EXPECT_EQ(body, sent);
}

}  // namespace
}  // namespace outrigger::idempotency
