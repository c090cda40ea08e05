// One HTTP/1 message as llhttp reads it, without any of its lenient flags.
//
//   const Reading reading = ReadWithLlhttp(Side::kRequest, bytes);
//   if (reading.verdict == Verdict::kRefused) -> reading.error

#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace outrigger::http1 {

enum class Side { kRequest, kResponse };

enum class Verdict {
  kRefused,
  kIncomplete,
  kComplete,    // `consumed` bytes are the message
  kUntilClose,  // the head is, and all the rest is its body
};

struct Reading {
  Verdict verdict = Verdict::kIncomplete;
  std::string error;  // of kRefused: llhttp's name for it, or our own reason
  bool has_head = false;
  size_t head_bytes = 0;
  size_t consumed = 0;
  std::string start;  // method and target, or the status
  // Those of the head in order, then those behind the last chunk.
  std::vector<std::pair<std::string, std::string>> fields;
  std::string body;
};

Reading ReadWithLlhttp(Side side, std::string_view bytes);

}  // namespace outrigger::http1
