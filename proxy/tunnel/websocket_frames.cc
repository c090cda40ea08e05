#include "proxy/tunnel/websocket_frames.h"

#include <openssl/rand.h>

#include <algorithm>
#include <cstdlib>

namespace outrigger::tunnel {
namespace {

constexpr uint8_t kOpcodeBits = 0x0F;
constexpr uint8_t kCloseOpcode = 0x8;
constexpr uint8_t kMaskBit = 0x80;
constexpr uint8_t kLengthBits = 0x7F;
constexpr uint8_t kTwoByteLength = 126;
constexpr uint8_t kEightByteLength = 127;
constexpr uint8_t kGoingAway[] = {0x03, 0xE9};  // 1001

// RFC 6455, 5.2: the others are reserved.
bool IsOpcode(uint8_t opcode) { return opcode <= 0x2 || (opcode >= 0x8 && opcode <= 0xA); }

}  // namespace

size_t WebSocketFrames::HeadBytes() const {
  if (head_have_ < 2) return 2;
  const size_t mask = (head_[1] & kMaskBit) != 0 ? 4 : 0;
  switch (head_[1] & kLengthBits) {
    case kTwoByteLength:
      return 2 + 2 + mask;
    case kEightByteLength:
      return 2 + 8 + mask;
    default:
      return 2 + mask;
  }
}

void WebSocketFrames::TakeHead() {
  const uint8_t short_length = head_[1] & kLengthBits;
  size_t length_bytes = 0;
  if (short_length == kTwoByteLength) length_bytes = 2;
  if (short_length == kEightByteLength) length_bytes = 8;
  payload_left_ = length_bytes == 0 ? short_length : 0;
  for (size_t i = 0; i < length_bytes; ++i) payload_left_ = payload_left_ << 8 | head_[2 + i];
  const uint8_t opcode = head_[0] & kOpcodeBits;
  is_lost_ = !IsOpcode(opcode) || (payload_left_ >> 63) != 0;
  is_closed_ = is_closed_ || opcode == kCloseOpcode;
  head_have_ = 0;
  ++frames_;
}

void WebSocketFrames::Feed(std::string_view bytes) {
  while (!bytes.empty() && !is_lost_) {
    if (payload_left_ > 0) {
      const size_t skipped = std::min<uint64_t>(payload_left_, bytes.size());
      payload_left_ -= skipped;
      bytes.remove_prefix(skipped);
      continue;
    }
    head_[head_have_++] = static_cast<uint8_t>(bytes.front());
    bytes.remove_prefix(1);
    if (head_have_ == HeadBytes()) TakeHead();
  }
}

CloseFrame GoingAwayFromService() {
  CloseFrame frame;
  frame.bytes = {static_cast<char>(0x88), 2, static_cast<char>(kGoingAway[0]),
                 static_cast<char>(kGoingAway[1])};
  frame.size = 4;
  return frame;
}

CloseFrame GoingAwayFromClient() {
  uint8_t mask[4];
  // RFC 6455, 5.3: not to be foreseen.
  if (RAND_bytes(mask, sizeof mask) != 1) std::abort();
  CloseFrame frame;
  frame.bytes = {static_cast<char>(0x88), static_cast<char>(kMaskBit | 2)};
  for (size_t i = 0; i < 4; ++i) frame.bytes[2 + i] = static_cast<char>(mask[i]);
  for (size_t i = 0; i < 2; ++i) frame.bytes[6 + i] = static_cast<char>(kGoingAway[i] ^ mask[i]);
  frame.size = 8;
  return frame;
}

}  // namespace outrigger::tunnel
