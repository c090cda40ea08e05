// Where frames begin and end, however their bytes are split.

#include "proxy/tunnel/websocket_frames.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "proxy/base/random.h"

namespace outrigger::tunnel {
namespace {

std::string Frame(uint8_t opcode, size_t size, bool is_masked, int length_form = -1) {
  std::string frame(1, static_cast<char>(0x80 | opcode));
  const int mask = is_masked ? 0x80 : 0;
  if (length_form < 0) length_form = size < 126 ? 0 : size < 65536 ? 2 : 8;
  if (length_form == 0) {
    frame += static_cast<char>(mask | static_cast<int>(size));
  } else {
    frame += static_cast<char>(mask | (length_form == 2 ? 126 : 127));
    for (int i = length_form - 1; i >= 0; --i) frame += static_cast<char>(size >> (8 * i));
  }
  if (is_masked) frame += "\x01\x02\x03\x04";
  return frame + std::string(size, '\x88');
}

TEST(WebSocketFrames, AddsACloseOnlyBetweenFrames) {
  for (bool is_masked : {false, true}) {
    for (size_t size : {0, 1, 125, 126, 65535, 65536}) {
      const std::string frame = Frame(2, size, is_masked);
      WebSocketFrames frames;
      EXPECT_TRUE(frames.may_add_close());
      for (size_t i = 0; i < frame.size(); ++i) {
        frames.Feed(std::string_view(frame).substr(i, 1));
        EXPECT_EQ(frames.may_add_close(), i + 1 == frame.size()) << size << " " << i;
      }
      EXPECT_EQ(frames.frames(), 1u);
    }
  }
}

TEST(WebSocketFrames, TakesLengthsThatCouldBeShorter) {
  for (int form : {2, 8}) {
    WebSocketFrames frames;
    frames.Feed(Frame(1, 5, false, form));
    EXPECT_TRUE(frames.may_add_close());
    EXPECT_EQ(frames.frames(), 1u);
  }
}

TEST(WebSocketFrames, AddsNothingBehindAClose) {
  WebSocketFrames frames;
  frames.Feed(Frame(9, 4, true));
  EXPECT_TRUE(frames.may_add_close());
  frames.Feed(Frame(8, 2, true));
  EXPECT_TRUE(frames.is_closed());
  EXPECT_FALSE(frames.may_add_close());
  frames.Feed(Frame(2, 2, true));
  EXPECT_FALSE(frames.may_add_close());
}

TEST(WebSocketFrames, GivesUpOnWhatIsNoWebSocket) {
  const std::string too_long = std::string("\x82\x7F\x80", 3) + std::string(7, '\0');
  for (const std::string& bytes :
       {std::string("GET / HTTP/1.1\r\n"), Frame(3, 0, false), Frame(11, 0, false), too_long}) {
    WebSocketFrames frames;
    frames.Feed(bytes);
    EXPECT_TRUE(frames.is_lost()) << bytes;
    EXPECT_FALSE(frames.may_add_close());
    frames.Feed(Frame(2, 1, false));
    EXPECT_FALSE(frames.may_add_close());
  }
}

TEST(WebSocketFrames, SeesTheSameHoweverBytesAreSplit) {
  constexpr uint64_t kSeed = 20261120;
  Random random(kSeed);
  for (int round = 0; round < 300; ++round) {
    std::string bytes;
    const size_t count = random.Below(6);
    for (size_t i = 0; i < count; ++i) {
      bytes += Frame(random.Below(2) == 0 ? 2 : 9, random.Below(300), random.Below(2) == 0);
    }
    bytes.resize(bytes.size() - random.Below(bytes.size() / 3 + 1));
    WebSocketFrames at_once;
    at_once.Feed(bytes);
    WebSocketFrames in_pieces;
    for (std::string_view rest = bytes; !rest.empty();) {
      const size_t size = std::min<size_t>(rest.size(), 1 + random.Below(40));
      in_pieces.Feed(rest.substr(0, size));
      rest.remove_prefix(size);
    }
    EXPECT_EQ(at_once.frames(), in_pieces.frames()) << "seed " << kSeed << " round " << round;
    EXPECT_EQ(at_once.may_add_close(), in_pieces.may_add_close());
  }
}

TEST(CloseFrame, SaysGoingAway) {
  EXPECT_EQ(GoingAwayFromService().view(), std::string_view("\x88\x02\x03\xE9", 4));
  const CloseFrame masked = GoingAwayFromClient();
  ASSERT_EQ(masked.view().size(), 8u);
  EXPECT_EQ(masked.view().substr(0, 2), std::string_view("\x88\x82", 2));
  EXPECT_EQ(masked.bytes[6] ^ masked.bytes[2], '\x03');
  EXPECT_EQ(static_cast<char>(masked.bytes[7] ^ masked.bytes[3]), '\xE9');
  for (const CloseFrame& frame : {GoingAwayFromService(), masked}) {
    WebSocketFrames frames;
    frames.Feed(frame.view());
    EXPECT_TRUE(frames.is_closed());
  }
}

}  // namespace
}  // namespace outrigger::tunnel
