#include "tools/bench/message_reader.h"

#include <strings.h>

#include <algorithm>
#include <charconv>

namespace outrigger::bench {
namespace {

constexpr std::string_view kHeadEnd = "\r\n\r\n";

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

template <typename T>
bool ParseNumber(std::string_view text, T& value, int base = 10) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, value, base);
  return result.ec == std::errc() && result.ptr == end;
}

}  // namespace

void MessageReader::Reset() {
  state_ = State::kHead;
  head_.clear();
  line_.clear();
  status_ = 0;
  keeps_alive_ = true;
  is_chunked_ = false;
  has_length_ = false;
  remaining_ = 0;
  body_bytes_ = 0;
}

ptrdiff_t MessageReader::Feed(std::string_view data) {
  size_t used = 0;
  while (state_ != State::kDone && used < data.size()) {
    const std::string_view rest = data.substr(used);
    switch (state_) {
      case State::kHead: {
        // The whole head in one piece is the rule; only a split one is copied.
        const size_t old_size = head_.size();
        std::string_view head = rest;
        if (old_size != 0) head = head_.append(rest);
        const size_t end = head.find(kHeadEnd, old_size > 3 ? old_size - 3 : 0);
        if (end == std::string_view::npos) {
          if (old_size == 0) head_ = rest;
          return static_cast<ptrdiff_t>(data.size());
        }
        used += end + kHeadEnd.size() - old_size;
        if (!ParseHead(head.substr(0, end + 2))) return -1;
        break;
      }
      case State::kLength:
      case State::kUntilClose:
      case State::kChunkData:
        used += TakeBody(rest);
        break;
      case State::kChunkSize:
        if (TakeLine(rest, used) && !ParseChunkSize()) return -1;
        break;
      case State::kChunkEnd:
        if (TakeLine(rest, used)) {
          if (!line_.empty()) return -1;
          state_ = State::kChunkSize;
        }
        break;
      case State::kTrailers:
        if (TakeLine(rest, used)) {
          if (line_.empty()) state_ = State::kDone;
          line_.clear();
        }
        break;
      case State::kDone:
        break;
    }
  }
  return static_cast<ptrdiff_t>(used);
}

bool MessageReader::FinishAtClose() {
  if (state_ != State::kUntilClose) return false;
  state_ = State::kDone;
  keeps_alive_ = false;
  return true;
}

// `head` is the start line and the fields, each with its CRLF.
bool MessageReader::ParseHead(std::string_view head) {
  size_t end = head.find("\r\n");
  const std::string_view start = head.substr(0, end);
  const size_t space = start.find(' ');
  if (space == std::string_view::npos) return false;
  if (kind_ == Kind::kResponse) {
    if (!start.starts_with("HTTP/1.") || !ParseNumber(start.substr(space + 1, 3), status_))
      return false;
  } else {
    const size_t second = start.find(' ', space + 1);
    if (second == std::string_view::npos) return false;
    method_ = start.substr(0, space);
    target_ = start.substr(space + 1, second - space - 1);
  }
  for (size_t at = end + 2; at < head.size(); at = end + 2) {
    end = head.find("\r\n", at);
    ParseField(head.substr(at, end - at));
  }
  if (is_chunked_) {
    state_ = State::kChunkSize;
  } else if (has_length_) {
    state_ = remaining_ > 0 ? State::kLength : State::kDone;
  } else if (kind_ == Kind::kRequest || status_ == 204 || status_ == 304) {
    state_ = State::kDone;
  } else {
    state_ = State::kUntilClose;
  }
  return true;
}

void MessageReader::ParseField(std::string_view line) {
  // All the names of interest begin with C or T: most fields end here.
  if (line.empty() || ((line[0] | 0x20) != 'c' && (line[0] | 0x20) != 't')) return;
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string_view name = line.substr(0, colon);
  const std::string_view value = Trim(line.substr(colon + 1));
  if (EqualsIgnoringCase(name, "content-length")) {
    has_length_ = ParseNumber(value, remaining_);
  } else if (EqualsIgnoringCase(name, "transfer-encoding")) {
    is_chunked_ = EqualsIgnoringCase(value, "chunked");
  } else if (EqualsIgnoringCase(name, "connection")) {
    if (EqualsIgnoringCase(value, "close")) keeps_alive_ = false;
  }
}

bool MessageReader::ParseChunkSize() {
  const bool is_number =
      ParseNumber(Trim(std::string_view(line_).substr(0, line_.find(';'))), remaining_, 16);
  line_.clear();
  state_ = remaining_ > 0 ? State::kChunkData : State::kTrailers;
  return is_number;
}

size_t MessageReader::TakeBody(std::string_view data) {
  size_t size = data.size();
  if (state_ != State::kUntilClose) {
    size = static_cast<size_t>(std::min<uint64_t>(size, remaining_));
    remaining_ -= size;
    if (remaining_ == 0) state_ = state_ == State::kLength ? State::kDone : State::kChunkEnd;
  }
  body_bytes_ += size;
  if (body_sink_ != nullptr) body_sink_->append(data.substr(0, size));
  return size;
}

bool MessageReader::TakeLine(std::string_view data, size_t& used) {
  const size_t end = data.find('\n');
  line_.append(data.substr(0, end));
  if (end == std::string_view::npos) {
    used += data.size();
    return false;
  }
  used += end + 1;
  if (line_.ends_with('\r')) line_.pop_back();
  return true;
}

}  // namespace outrigger::bench
