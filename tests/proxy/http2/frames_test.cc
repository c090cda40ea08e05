// What is known of a connection's frames besides nghttp2: their heads, closed streams, floods.

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "proxy/http2/closed_streams.h"
#include "proxy/http2/flood_guard.h"
#include "proxy/http2/frame_scanner.h"

namespace outrigger::http2 {
namespace {

std::string FrameBytes(uint32_t length, uint8_t type, uint32_t stream) {
  std::string bytes;
  for (int shift : {16, 8, 0}) bytes += static_cast<char>(length >> shift);
  bytes += static_cast<char>(type);
  bytes += '\0';
  for (int shift : {24, 16, 8, 0}) bytes += static_cast<char>(stream >> shift);
  return bytes + std::string(length, 'x');
}

TEST(FrameScanner, FindsEveryHeadHoweverTheBytesAreSplit) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    std::string bytes(24, 'P');
    std::vector<FrameScanner::Head> wanted;
    for (int i = 0; i < 20; ++i) {
      const FrameScanner::Head head{.length = static_cast<uint32_t>(random() % 40 * (random() % 9)),
                                    .type = static_cast<uint8_t>(random() % 11),
                                    .stream_id = static_cast<int32_t>(random() % 0x7FFFFFFF)};
      // The reserved bit is ignored.
      bytes += FrameBytes(head.length, head.type,
                          static_cast<uint32_t>(head.stream_id) | (random() % 2) << 31);
      wanted.push_back(head);
    }
    FrameScanner scanner(24);
    std::vector<FrameScanner::Head> found;
    for (std::string_view rest = bytes; !rest.empty();) {
      std::string_view piece = rest.substr(0, 1 + random() % 50);
      rest.remove_prefix(piece.size());
      while (scanner.Next(piece)) found.push_back(scanner.head());
    }
    ASSERT_EQ(found.size(), wanted.size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_EQ(found[i].length, wanted[i].length);
      EXPECT_EQ(found[i].type, wanted[i].type);
      EXPECT_EQ(found[i].stream_id, wanted[i].stream_id);
    }
  }
}

using Was = ClosedStreams::Was;

TEST(ClosedStreams, TellsClosedFromSkippedFromOpen) {
  ClosedStreams closed;
  closed.OnOpened(1);
  closed.OnOpened(3);
  closed.OnOpened(9);
  closed.OnClosedByClient(3);
  EXPECT_EQ(closed.Find(1), Was::kUnknown);
  EXPECT_EQ(closed.Find(3), Was::kClosed);
  EXPECT_EQ(closed.Find(5), Was::kSkipped);
  EXPECT_EQ(closed.Find(7), Was::kSkipped);
  EXPECT_EQ(closed.Find(9), Was::kUnknown);
  EXPECT_EQ(closed.Find(11), Was::kUnknown);
  EXPECT_EQ(closed.Find(0), Was::kUnknown);
}

TEST(ClosedStreams, AFirstStreamOtherThanOneSkipsThoseBefore) {
  ClosedStreams closed;
  closed.OnOpened(5);
  EXPECT_EQ(closed.Find(1), Was::kSkipped);
  EXPECT_EQ(closed.Find(3), Was::kSkipped);
  EXPECT_EQ(closed.Find(5), Was::kUnknown);
}

TEST(ClosedStreams, NeverAccusesAStreamThatWasOpenedAndNotClosedByTheClient) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  ClosedStreams closed;
  std::vector<int32_t> innocent;
  int32_t id = 1;
  for (int i = 0; i < 2000; ++i) {
    closed.OnOpened(id);
    if (random() % 3 == 0) {
      closed.OnClosedByClient(id);
    } else {
      innocent.push_back(id);
    }
    id += 2 + 2 * static_cast<int32_t>(random() % 4 == 0 ? random() % 5 : 0);
  }
  for (int32_t each : innocent) ASSERT_EQ(closed.Find(each), Was::kUnknown) << each;
}

TEST(FloodGuard, AllowsABurstAndThenARate) {
  MonoTime now = MonoTime::FromNanos(1'000'000'000);
  FloodGuard guard(now);
  int taken = 0;
  while (guard.TakeReset(now)) ++taken;
  EXPECT_EQ(taken, static_cast<int>(FloodGuard::kResetBurst));
  now = now + absl::Seconds(1);
  FloodGuard steady(now);
  for (int second = 0; second < 100; ++second) {
    for (int i = 0; i < 90; ++i) {
      now = now + absl::Milliseconds(11);
      ASSERT_TRUE(steady.TakeReset(now));
    }
  }
}

TEST(FloodGuard, AnswersPayForTheFramesThatGrpcsClientsSendForEach) {
  const MonoTime now = MonoTime::FromNanos(1'000'000'000);
  FloodGuard guard(now);
  for (int message = 0; message < 100'000; ++message) {
    guard.NoteAnswer();
    for (int frame = 0; frame < 4; ++frame) ASSERT_TRUE(guard.TakeFrame(now));
  }
  // They are not saved up.
  for (int i = 0; i < 1000; ++i) guard.NoteAnswer();
  int frames = 0;
  while (guard.TakeFrame(now)) ++frames;
  EXPECT_EQ(frames, static_cast<int>(FloodGuard::kFrameBurst));
}

TEST(FloodGuard, CountsResetsAndFramesApart) {
  const MonoTime now = MonoTime::FromNanos(1'000'000'000);
  FloodGuard guard(now);
  while (guard.TakeReset(now)) {
  }
  int frames = 0;
  while (guard.TakeFrame(now)) ++frames;
  EXPECT_EQ(frames, static_cast<int>(FloodGuard::kFrameBurst));
}

}  // namespace
}  // namespace outrigger::http2
