// Tells fields that say the same again from those that say something new each time, such as a
// request's id: only the former are worth a place in the peer's HPACK table.
//
//   FieldRepetition repetition;             // of one session, one direction
//   if (!repetition.IsRepeated(name, value)) -> write it without indexing (RFC 7541, 6.2)
//
// nghttp2 puts every field into the table. Values that never come back push out those that do, and
// its search visits all entries of a name: with ids and rate limits on each answer that was a
// seventh of the work of a request.
//
// A field counts as repeated when it has the value that its name had the last time. A fixed number
// of names is remembered; others of the same slot, and values that differ in their middle alone,
// may be taken for one another, which costs bytes and nothing else.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace outrigger::http2 {

class FieldRepetition {
 public:
  bool IsRepeated(std::string_view name, std::string_view value) {
    const auto mark = static_cast<uint32_t>(Mix(value) >> 32);
    uint32_t& last = last_[Mix(name) >> (64 - kSlotBits)];
    const bool is_repeated = last == mark;
    last = mark;
    return is_repeated;
  }

 private:
  static constexpr int kSlotBits = 5;

  // Of the size and both ends.
  static uint64_t Mix(std::string_view text) {
    uint64_t first = 0;
    uint64_t last = 0;
    if (text.size() >= sizeof first) {
      std::memcpy(&first, text.data(), sizeof first);
      std::memcpy(&last, text.data() + text.size() - sizeof last, sizeof last);
    } else {
      for (char c : text) first = first << 8 | static_cast<unsigned char>(c);
    }
    constexpr uint64_t kOdd = 0x9E3779B97F4A7C15;
    uint64_t mixed = (first ^ text.size()) * kOdd;
    mixed = (mixed ^ mixed >> 29 ^ last) * kOdd;
    return (mixed ^ mixed >> 32) * kOdd;
  }

  std::array<uint32_t, size_t{1} << kSlotBits> last_{};
};

}  // namespace outrigger::http2
