// The key table between threads; run under ThreadSanitizer as well.

#include <array>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "filters/idempotency/table.h"
#include "gtest/gtest.h"
#include "tests/filters/idempotency/table_support.h"

namespace outrigger::idempotency {
namespace {

using http::Effects;
using Kind = BeginResult::Kind;

constexpr int kThreads = 4;

// 1,000 callers with one key on several threads: one of them executes, all get its bytes.
TEST(KeyTableThreads, ExecutesOnceForAThousandCallers) {
  MemoryBudget budget(size_t{64} << 20);
  KeyTable table({.budget = &budget});
  const IdempotencyPolicy policy;
  const StoreKey key = TestKey(1);
  const Fingerprint fingerprint = TestFingerprint("/", "request");
  std::string body;
  for (int i = 0; i < 20000; ++i) body += std::to_string(i);
  std::atomic<int> executions{0};
  std::atomic<int> answers{0};

  const auto caller_thread = [&] {
    std::vector<std::unique_ptr<RecordingReader>> readers;
    BlockingWaiter waiter;
    std::thread execution;
    for (int i = 0; i < 1000 / kThreads; ++i) {
      BeginResult begin = table.Begin(
          {key, fingerprint.head, Effects::kUnsafe, policy, MonoTime::Infinite()}, At(1));
      if (begin.kind == Kind::kNew) {
        ++executions;
        execution = std::thread([&, reservation = std::move(begin.reservation)]() mutable {
          reservation.MarkExecuting();
          Recording& recording = reservation.recording();
          recording.SetFingerprint(fingerprint);
          recording.SetHead(200, NoHeaders(), "id", std::nullopt);
          for (size_t at = 0; at < body.size(); at += 1000) {
            recording.Append(std::string_view(body).substr(at, 1000));
          }
          recording.Complete(NoHeaders());
          EXPECT_EQ(reservation.Complete(At(1)), State::kDone);
        });
      }
      ASSERT_NE(begin.reader, nullptr) << static_cast<int>(begin.kind);
      readers.push_back(std::move(begin.reader));
    }
    for (auto& reader : readers) {
      FingerprintMatch match = reader->Compare(fingerprint, waiter);
      while (match.state == FingerprintMatch::State::kPending) {
        waiter.Wait();
        match = reader->Compare(fingerprint, waiter);
      }
      EXPECT_EQ(match.state, FingerprintMatch::State::kSame);
      std::string got;
      ReadResult::State end = ReadAvailable(*reader, waiter, &got);
      while (end == ReadResult::State::kWait) {
        waiter.Wait();
        end = ReadAvailable(*reader, waiter, &got);
      }
      EXPECT_EQ(end, ReadResult::State::kEnd);
      answers += got == body;
    }
    if (execution.joinable()) execution.join();
  };
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(caller_thread);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(executions, 1);
  EXPECT_EQ(answers, 1000);
  EXPECT_EQ(table.Stats().begun, 1u);
}

// Everything at once, with little room: nothing is lost, nothing leaks, unsafe runs at most once.
TEST(KeyTableThreads, StaysConsistentUnderEvictionAndErasure) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  MemoryBudget budget(size_t{64} << 20);
  constexpr size_t kKeys = 200;
  std::array<std::atomic<int>, kKeys> executed{};
  {
    KeyTable table({.limits = {.max_keys = 120, .max_bodies_bytes = 100000}, .budget = &budget});
    IdempotencyPolicy policy;
    policy.key_ttl = absl::Hours(10);
    policy.response_ttl = absl::Seconds(5);
    const auto worker = [&](uint64_t thread_seed) {
      std::mt19937_64 random(thread_seed);
      CountingWaiter waiter;
      const FingerprintHead head = TestFingerprint("/", "").head;
      for (int step = 0; step < 20000; ++step) {
        const MonoTime now = At(1 + step * 0.001);
        const uint64_t id = random() % kKeys;
        const auto effects = static_cast<Effects>(id % 3);
        const StoreKey key = TestKey(id);
        BeginResult begin = table.Begin({key, head, effects, policy, MonoTime::Infinite()}, now);
        if (begin.reader != nullptr && begin.kind != Kind::kNew) begin.reader->Next(waiter);
        if (begin.kind == Kind::kNew) {
          Reservation& reservation = begin.reservation;
          if (random() % 10 == 0) continue;  // dropped before anything was executed
          reservation.MarkExecuting();
          ++executed[id];
          Recording& recording = reservation.recording();
          recording.SetHead(200, NoHeaders(), "", std::nullopt);
          recording.Append(std::string(random() % 5000, 'x'));
          switch (random() % 4) {
            case 0:
              reservation.SetUnknown({}, now);
              break;
            case 1:
              break;  // abandoned
            default:
              recording.Complete(NoHeaders());
              reservation.Complete(now);
          }
        }
        if (random() % 500 == 0) table.Sweep(now, 10);
        // Only keys whose execution may be repeated: an erased unsafe key may rightly run again.
        if (random() % 50 == 0 && id % 3 != 2) table.Erase(key.prefix());
      }
    };
    std::vector<std::thread> threads;
    for (uint64_t i = 0; i < kThreads; ++i) threads.emplace_back(worker, seed + i);
    for (std::thread& thread : threads) thread.join();

    const TableStats stats = table.Stats();
    EXPECT_TRUE(IsConserved(stats));
    EXPECT_EQ(CountOf(stats, State::kReserved) + CountOf(stats, State::kExecuting), 0u);
    EXPECT_LE(stats.body_bytes, 100000u);
    EXPECT_EQ(stats.illegal, 0u);
    EXPECT_GT(stats.evicted, 0u);
  }
  for (size_t id = 0; id < kKeys; ++id) {
    if (static_cast<Effects>(id % 3) == Effects::kUnsafe) {
      EXPECT_LE(executed[id], 1) << id;
    }
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
}

}  // namespace
}  // namespace outrigger::idempotency
