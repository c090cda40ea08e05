// Recordings between threads; run under ThreadSanitizer as well.

#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "filters/idempotency/recording.h"
#include "filters/idempotency/recording_reader.h"
#include "gtest/gtest.h"
#include "tests/filters/idempotency/recording_support.h"

namespace outrigger::idempotency {
namespace {

constexpr int kThreads = 5;
constexpr int kReadersPerThread = 10;

// One worker with several readers, which it serves in turn and waits for together.
class ReaderThread {
 public:
  ReaderThread(Recording& recording, uint64_t seed, std::atomic<int>* joined)
      : recording_(recording), random_(seed), joined_(joined) {}

  void Run() {
    int to_join = kReadersPerThread;
    size_t done = 0;
    while (to_join > 0 || done < readers_.size()) {
      bool progress = to_join > 0;
      if (to_join > 0 && random_() % 3 == 0) {
        --to_join;
        TryJoin();
      }
      for (Slot& slot : readers_) {
        if (slot.reader == nullptr) continue;
        const ReadResult read = slot.reader->Next(waiter_);
        if (read.state == ReadResult::State::kData) {
          slot.body.append(read.data);
          progress = true;
        } else if (read.state != ReadResult::State::kWait) {
          slot.end = read.state;
          slot.reader.reset();
          ++done;
          progress = true;
        }
      }
      if (!progress) waiter_.Wait();
    }
  }

  struct Slot {
    std::unique_ptr<RecordingReader> reader;
    std::string body;
    ReadResult::State end = ReadResult::State::kWait;
  };
  std::vector<Slot>& readers() { return readers_; }

 private:
  void TryJoin() {
    std::unique_ptr<RecordingReader> reader = Join(recording_);
    if (reader == nullptr) return;  // overflowed in the meantime
    while (reader->AwaitHead(waiter_) == HeadState::kWait) waiter_.Wait();
    readers_.push_back({std::move(reader), {}, ReadResult::State::kWait});
    ++*joined_;
  }

  Recording& recording_;
  std::mt19937_64 random_;
  std::atomic<int>* const joined_;
  BlockingWaiter waiter_;
  std::vector<Slot> readers_;
};

void WriteAndRead(const RecordingLimits& limits, size_t body_bytes, bool fail) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  std::string body(body_bytes, '\0');
  for (char& c : body) c = static_cast<char>(random());
  MemoryBudget budget(size_t{64} << 20);
  CountingQuota quota;
  {
    const RefPtr<Recording> recording = MakeRef<Recording>(limits, budget, quota);
    std::atomic<int> joined{0};
    std::vector<std::unique_ptr<ReaderThread>> workers;
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      workers.push_back(std::make_unique<ReaderThread>(*recording, random(), &joined));
    }
    for (auto& worker : workers) threads.emplace_back([&worker] { worker->Run(); });

    BlockingWaiter writer;
    recording->SetHead(200, NoHeaders(), "id", std::nullopt);
    for (size_t at = 0; at < body.size();) {
      while (recording->WaitForRoom(writer)) writer.Wait();
      const size_t bytes = std::min<size_t>(1 + random() % 3000, body.size() - at);
      recording->Append(std::string_view(body).substr(at, bytes));
      at += bytes;
    }
    fail ? recording->Fail({}) : recording->Complete(NoHeaders());
    for (std::thread& thread : threads) thread.join();

    const auto end = fail ? ReadResult::State::kFailed : ReadResult::State::kEnd;
    for (auto& worker : workers) {
      for (ReaderThread::Slot& slot : worker->readers()) {
        EXPECT_EQ(slot.end, end);
        EXPECT_TRUE(slot.body == body) << slot.body.size();
      }
    }
    EXPECT_EQ(recording->reader_status().count, 0u);
    if (!recording->overflowed()) {
      EXPECT_EQ(joined, kThreads * kReadersPerThread);
    }
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
  EXPECT_EQ(quota.used(), 0u);
}

TEST(RecordingThreads, FiftyReadersGetIdenticalBytes) {
  for (int round = 0; round < 5; ++round) WriteAndRead({}, 500000, false);
}

TEST(RecordingThreads, FiftyReadersSeeTheSameFailure) {
  for (int round = 0; round < 5; ++round) WriteAndRead({}, 200000, true);
}

TEST(RecordingThreads, ReadersPaceTheWriterAfterOverflow) {
  for (int round = 0; round < 5; ++round) {
    WriteAndRead({.max_body_bytes = 100000, .window_bytes = 20000}, 500000, false);
  }
}

TEST(RecordingThreads, ReadersMayLeaveAtAnyTime) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  MemoryBudget budget(size_t{64} << 20);
  CountingQuota quota;
  for (int round = 0; round < 20; ++round) {
    const RefPtr<Recording> recording = MakeRef<Recording>(
        RecordingLimits{.max_body_bytes = 50000, .window_bytes = 10000}, budget, quota);
    std::vector<std::thread> threads;
    for (int i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, thread_seed = seed + static_cast<uint64_t>(round * kThreads + i)] {
        std::mt19937_64 random(thread_seed);
        for (int n = 0; n < 50; ++n) {
          // Destroyed while armed, more often than not: no wake-up may come after that.
          BlockingWaiter waiter;
          std::unique_ptr<RecordingReader> reader = Join(*recording);
          if (reader == nullptr) return;
          for (uint64_t reads = random() % 10; reads > 0; --reads) reader->Next(waiter);
        }
      });
    }
    BlockingWaiter writer;
    recording->SetHead(200, NoHeaders(), "", std::nullopt);
    for (int i = 0; i < 300; ++i) {
      while (recording->WaitForRoom(writer)) writer.Wait();
      recording->Append(std::string(700, 'x'));
    }
    recording->Complete(NoHeaders());
    for (std::thread& thread : threads) thread.join();
  }
  EXPECT_EQ(budget.used_bytes(), 0u);
}

}  // namespace
}  // namespace outrigger::idempotency
