// Tells fields that say the same again from those that say something new each time, such as a
// request's id: only the former are worth a place in the peer's HPACK table.
//
//   FieldRepetition repetition;             // of one session, one direction
//   if (!repetition.IsWorthIndexing(name, value)) -> write it without indexing (RFC 7541, 6.2)
//
// nghttp2 puts every field into the table. Values that never come back push out those that do, and
// its search visits all entries of a name: with ids and rate limits on each answer that was a
// seventh of the work of a request.
//
// A field counts as repeated when it has the value that its name had the last time. One that varies
// is indexed now and then, so that the table has its name, which else would be spelled out each
// time. A fixed number of names is remembered; names and values that differ in their middle alone may
// be taken for one another, which costs bytes and nothing else.

#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

namespace outrigger::http2 {

class FieldRepetition {
 public:
  // How many other values go by until the name is put into the table again.
  static constexpr int kRefresh = 256;

  bool IsWorthIndexing(std::string_view name, std::string_view value) {
    const auto mark = static_cast<uint32_t>(Mix(value) >> 32);
    Entry& entry = Find(Mix(name));
    if (std::exchange(entry.mark, mark) == mark) return true;
    return entry.changes++ == 1;  // wraps at kRefresh
  }

 private:
  static constexpr size_t kSets = 8;
  static constexpr size_t kWays = 4;

  struct Entry {
    uint32_t mark = 0;  // of the last value
    uint16_t name = 0;  // 0: free
    uint8_t changes = 0;
  };

  Entry& Find(uint64_t mixed_name) {
    std::array<Entry, kWays>& set = sets_[mixed_name % kSets];
    const auto name = static_cast<uint16_t>(mixed_name >> 48 | 1);
    for (Entry& entry : set) {
      if (entry.name == 0) entry = {.name = name};
      if (entry.name == name) return entry;
    }
    Entry& replaced = set[mixed_name / kSets % kWays];
    replaced = {.name = name};
    return replaced;
  }

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

  std::array<std::array<Entry, kWays>, kSets> sets_;
};

}  // namespace outrigger::http2
