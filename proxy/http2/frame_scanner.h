// Finds the heads of frames in received bytes, however they are split.
//
//   FrameScanner scanner(24);                    // a server is sent the preface first
//   while (scanner.Next(bytes)) {                // `bytes` now begins behind a frame's head
//     Look(scanner.head());
//   }
//
// nghttp2 says nothing of DATA on streams that it no longer knows. Pure.

#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace outrigger::http2 {

class FrameScanner {
 public:
  static constexpr size_t kHeadBytes = 9;  // RFC 9113, 4.1

  struct Head {
    uint32_t length = 0;
    uint8_t type = 0;
    int32_t stream_id = 0;
  };

  explicit FrameScanner(size_t skipped_bytes) : skip_(skipped_bytes) {}

  // Takes bytes up to the end of the next head; false when it is not complete yet.
  bool Next(std::string_view& bytes) {
    const size_t skipped = std::min(skip_, bytes.size());
    bytes.remove_prefix(skipped);
    skip_ -= skipped;
    while (have_ < kHeadBytes && !bytes.empty()) {
      head_[have_++] = static_cast<uint8_t>(bytes.front());
      bytes.remove_prefix(1);
    }
    if (have_ < kHeadBytes) return false;
    have_ = 0;
    skip_ = head().length;
    return true;
  }

  Head head() const {
    const auto word = [this](size_t at) { return static_cast<uint32_t>(head_[at]); };
    return {.length = word(0) << 16 | word(1) << 8 | word(2),
            .type = head_[3],
            .stream_id = static_cast<int32_t>((word(5) & 0x7F) << 24 | word(6) << 16 |
                                              word(7) << 8 | word(8))};
  }

 private:
  std::array<uint8_t, kHeadBytes> head_{};
  size_t have_ = 0;  // of head_
  size_t skip_;      // of a payload
};

}  // namespace outrigger::http2
