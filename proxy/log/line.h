// One JSON object on one line, built in place without allocating.
//
//   Line line;
//   line.Str("event", "retry_scheduled").Int("attempt", 2);
//   line.BeginArray("attempts").BeginObject().Int("status", 503).End().End();
//   std::string_view json = line.Finish();          // {"event":...}\n
//
// A line has a bounded size: string values are cut after kMaxValueBytes, and fields that no longer
// fit are left out, marked by "truncated":true at the end. The result is always valid JSON. Keys
// are literals of the program and are not escaped. One thread.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace outrigger::log {

class Line {
 public:
  static constexpr size_t kMaxBytes = 8192;
  static constexpr size_t kMaxValueBytes = 1024;
  static constexpr int kMaxDepth = 8;

  Line() { Clear(); }

  // Begins a new object.
  void Clear();

  // An empty key adds an element to the array that was begun last.
  Line& Str(std::string_view key, std::string_view value);
  Line& Int(std::string_view key, int64_t value);
  Line& Uint(std::string_view key, uint64_t value);
  // null when not finite, which JSON cannot say.
  Line& Float(std::string_view key, double value);
  Line& Bool(std::string_view key, bool value);
  // Nanoseconds shown as milliseconds with three decimals.
  Line& Millis(std::string_view key, int64_t nanos);

  // REQUIRES: less than kMaxDepth open; each is closed by End().
  Line& BeginArray(std::string_view key = {}) { return Begin(key, '[', ']'); }
  Line& BeginObject(std::string_view key = {}) { return Begin(key, '{', '}'); }
  Line& End();

  // Closes what is open. Valid until Clear().
  std::string_view Finish();

 private:
  // Room kept for closing brackets and the mark of truncation.
  static constexpr size_t kTailBytes = 32;

  Line& Begin(std::string_view key, char open, char close);
  Line& Plain(std::string_view key, std::string_view value);
  // Where a value of up to `value_bytes` may be written, or null when it does not fit.
  char* StartField(std::string_view key, size_t value_bytes);

  size_t size_ = 0;
  int depth_ = 0;
  int ignored_depth_ = 0;
  bool is_truncated_ = false;
  char closers_[kMaxDepth];
  char data_[kMaxBytes];
};

}  // namespace outrigger::log
