#include "filters/common/sse_parser.h"

#include <algorithm>
#include <cstring>

namespace outrigger::common {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
// Capacity that is worth keeping for the next split event.
constexpr size_t kKeptCapacity = 4096;

bool IsLineEnd(char c) { return c == '\n' || c == '\r'; }

}  // namespace

size_t SseParser::LineEnds::Find(size_t from) {
  if (!is_known_ || next_lf_ < from) {
    const void* lf = std::memchr(text_.data() + from, '\n', text_.size() - from);
    next_lf_ = lf == nullptr ? text_.size()
                             : static_cast<size_t>(static_cast<const char*>(lf) - text_.data());
    is_known_ = true;
  }
  const void* cr = std::memchr(text_.data() + from, '\r', next_lf_ - from);
  return cr == nullptr ? next_lf_
                       : static_cast<size_t>(static_cast<const char*>(cr) - text_.data());
}

void SseParser::Feed(std::string_view chunk) {
  chunk_begin_ += chunk_.size();
  chunk_ = chunk;
  line_ends_ = LineEnds(chunk);
  position_ = 0;
  block_begin_ = 0;
}

bool SseParser::Next(SseEvent* event) {
  if (is_kept_reported_) ReleaseKept();
  if (chunk_.empty()) return false;
  if (is_start_ && !SkipByteOrderMark()) return false;
  size_t block_end = 0;
  if (!FindBlockEnd(&block_end)) {
    if (has_line_) Keep(chunk_.substr(block_begin_));
    block_begin_ = position_;
    return false;
  }
  std::string_view block = chunk_.substr(block_begin_, block_end - block_begin_);
  if (!kept_.empty()) {
    Keep(block);
    block = kept_;
    is_kept_reported_ = true;
  } else if (block.size() > kMaxEventBytes) {
    block = block.substr(0, kMaxEventBytes);
    is_over_limit_ = true;
  }
  *event = SseEvent();
  event->is_truncated = is_over_limit_;
  event->begin = event_begin_;
  event->end = chunk_begin_ + position_;
  ParseBlock(block, event);

  event_begin_ = event->end;
  block_begin_ = position_;
  has_line_ = false;
  is_over_limit_ = false;
  return true;
}

bool SseParser::has_partial_event() const { return has_line_ || (is_start_ && mark_bytes_ > 0); }

bool SseParser::SkipByteOrderMark() {
  while (position_ < chunk_.size()) {
    if (chunk_[position_] != kByteOrderMark[mark_bytes_]) {
      // Not a mark after all: what looked like one is the beginning of the first line.
      is_start_ = false;
      block_begin_ = position_;
      if (mark_bytes_ > 0) {
        Keep(kByteOrderMark.substr(0, mark_bytes_));
        has_line_ = true;
        is_at_line_start_ = false;
      }
      return true;
    }
    ++position_;
    if (++mark_bytes_ == kByteOrderMark.size()) {
      is_start_ = false;
      block_begin_ = position_;
      return true;
    }
  }
  block_begin_ = position_;
  return false;
}

bool SseParser::FindBlockEnd(size_t* block_end) {
  while (position_ < chunk_.size()) {
    if (is_after_cr_) {
      is_after_cr_ = false;
      if (chunk_[position_] == '\n') {
        ++position_;
        if (!has_line_) block_begin_ = position_;
        continue;
      }
    }
    if (!is_at_line_start_ || !IsLineEnd(chunk_[position_])) {
      has_line_ = true;
      is_at_line_start_ = false;
      position_ = line_ends_.Find(position_);
      if (position_ == chunk_.size()) return false;
      is_after_cr_ = chunk_[position_] == '\r';
      is_at_line_start_ = true;
      ++position_;
      continue;
    }
    // A blank line.
    const size_t blank = position_++;
    is_after_cr_ = chunk_[blank] == '\r';
    if (is_after_cr_ && position_ < chunk_.size() && chunk_[position_] == '\n') {
      is_after_cr_ = false;
      ++position_;
    }
    if (has_line_) {
      *block_end = blank;
      return true;
    }
    block_begin_ = position_;
  }
  return false;
}

void SseParser::Keep(std::string_view bytes) {
  const size_t space = kMaxEventBytes - kept_.size();
  if (bytes.size() > space) is_over_limit_ = true;
  kept_.append(bytes.substr(0, space));
}

void SseParser::ReleaseKept() {
  is_kept_reported_ = false;
  // By swap: assigning an empty string would keep the memory.
  if (kept_.capacity() > kKeptCapacity) std::string().swap(kept_);
  if (joined_.capacity() > kKeptCapacity) std::string().swap(joined_);
  kept_.clear();
}

void SseParser::ParseBlock(std::string_view block, SseEvent* event) {
  LineEnds line_ends(block);
  bool is_joined = false;
  for (size_t at = 0; at < block.size();) {
    const size_t line_end = line_ends.Find(at);
    const std::string_view line = block.substr(at, line_end - at);
    at = line_end + 1;
    if (line.empty()) continue;  // between CR and LF
    const size_t colon = std::min(line.find(':'), line.size());
    if (colon == 0) continue;  // comment
    const std::string_view name = line.substr(0, colon);
    std::string_view value = line.substr(std::min(colon + 1, line.size()));
    if (!value.empty() && value.front() == ' ') value.remove_prefix(1);

    if (name == "data") {
      if (!event->has_data) {
        event->has_data = true;
        event->data = value;
      } else {
        if (!is_joined) joined_.assign(event->data);
        is_joined = true;
        joined_.push_back('\n');
        joined_.append(value);
      }
    } else if (name == "event") {
      event->type = value;
    } else if (name == "id" && value.find('\0') == std::string_view::npos) {
      event->id = value;
      event->has_id = true;
    }
  }
  if (is_joined) event->data = joined_;
}

}  // namespace outrigger::common
