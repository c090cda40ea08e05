// Remembers which streams a client has closed or passed over, so that a frame on one of them is
// told from one that was on its way when we reset the stream (RFC 9113, 5.1 and 5.1.1).
//
//   closed.OnOpened(7);            // 1, 3 and 5 were never opened: now they cannot be
//   closed.OnClosedByClient(7);    // END_STREAM or RST_STREAM was received, and the stream is gone
//   closed.Find(5) == Was::kSkipped
//
// nghttp2 would do so by keeping the closed streams themselves, which costs an idle connection more
// than all else. A few ids are enough: who breaks the rule much later is ignored. Pure.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace outrigger::http2 {

class ClosedStreams {
 public:
  enum class Was : uint8_t {
    kUnknown,  // perhaps open, perhaps closed by us, or long ago
    kClosed,   // by the client
    kSkipped,  // never opened, and no longer possible
  };

  void OnOpened(int32_t id) {
    if (id > last_ + 2) skipped_[next_skipped_++ % skipped_.size()] = {last_ + 2, id - 2};
    if (id > last_) last_ = id;
  }
  void OnClosedByClient(int32_t id) { closed_[next_closed_++ % closed_.size()] = id; }

  Was Find(int32_t id) const {
    if (id <= 0) return Was::kUnknown;
    for (int32_t closed : closed_) {
      if (closed == id) return Was::kClosed;
    }
    for (const Range& range : skipped_) {
      if (id >= range.first && id <= range.last) return Was::kSkipped;
    }
    return Was::kUnknown;
  }

 private:
  struct Range {
    int32_t first = 1;
    int32_t last = 0;
  };

  int32_t last_ = -1;  // the first id of a client is 1
  std::array<int32_t, 16> closed_{};
  std::array<Range, 4> skipped_;
  size_t next_closed_ = 0;
  size_t next_skipped_ = 0;
};

}  // namespace outrigger::http2
