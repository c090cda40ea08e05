// Follows the frames of one direction of a WebSocket (RFC 6455, 5.2), so that it is known where a
// frame of our own may stand: only there can a WebSocket be ended in its own words.
//
//   WebSocketFrames frames;
//   frames.Feed(bytes);                    // however they are split
//   if (frames.may_add_close()) Send(frames.CloseFrame(...));
//
// Looks at heads of frames alone; payloads pass unseen. What makes no sense is passed on all the
// same, it is for the two ends to judge; after that nothing is added any more. Pure.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace outrigger::tunnel {

class WebSocketFrames {
 public:
  void Feed(std::string_view bytes);

  // Between two frames, and no Close was sent.
  bool may_add_close() const {
    return head_have_ == 0 && payload_left_ == 0 && !is_closed_ && !is_lost_;
  }
  // Frames that were begun.
  uint64_t frames() const { return frames_; }
  bool is_closed() const { return is_closed_; }
  // What came is no WebSocket.
  bool is_lost() const { return is_lost_; }

 private:
  static constexpr size_t kMaxHeadBytes = 14;

  // Of the head, as far as it is known; at least two.
  size_t HeadBytes() const;
  void TakeHead();

  std::array<uint8_t, kMaxHeadBytes> head_{};
  size_t head_have_ = 0;
  uint64_t payload_left_ = 0;
  uint64_t frames_ = 0;
  bool is_closed_ = false;
  bool is_lost_ = false;
};

// Close with status 1001, "going away", as a service sends it and, masked, as a client does.
struct CloseFrame {
  std::array<char, 8> bytes{};
  size_t size = 0;
  std::string_view view() const { return {bytes.data(), size}; }
};
CloseFrame GoingAwayFromService();
CloseFrame GoingAwayFromClient();

}  // namespace outrigger::tunnel
