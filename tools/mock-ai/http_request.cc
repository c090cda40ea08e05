#include "tools/mock-ai/http_request.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace outrigger::mock_ai {
namespace {

constexpr size_t kMaxLineBytes = 8 * 1024;

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool IsTokenChar(char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')) return true;
  return std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), IsTokenChar);
}

std::string_view TrimBlanks(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char lower = Lower(c);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// Calls `visit` with each element of a comma-separated list.
template <class Visit>
void ForEachElement(std::string_view list, Visit visit) {
  while (true) {
    const size_t comma = list.find(',');
    const std::string_view element = TrimBlanks(list.substr(0, comma));
    if (!element.empty()) visit(element);
    if (comma == std::string_view::npos) return;
    list.remove_prefix(comma + 1);
  }
}

std::string PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escaped = text[i] == '%' && i + 2 < text.size() && HexDigit(text[i + 1]) >= 0 &&
                         HexDigit(text[i + 2]) >= 0;
    if (escaped) {
      decoded += static_cast<char>(HexDigit(text[i + 1]) * 16 + HexDigit(text[i + 2]));
      i += 2;
    } else {
      decoded += text[i] == '+' ? ' ' : text[i];
    }
  }
  return decoded;
}

}  // namespace

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return Lower(x) == Lower(y); });
}

std::string_view Request::path() const {
  return std::string_view(target).substr(0, target.find('?'));
}

std::string Request::QueryValue(std::string_view name) const {
  const size_t mark = target.find('?');
  if (mark == std::string::npos) return "";
  std::string_view query = std::string_view(target).substr(mark + 1);
  while (!query.empty()) {
    const size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    const size_t equals = std::min(pair.find('='), pair.size());
    if (pair.substr(0, equals) == name) {
      return PercentDecode(pair.substr(std::min(equals + 1, pair.size())));
    }
    query.remove_prefix(std::min(end + 1, query.size()));
  }
  return "";
}

const std::string* Request::Find(std::string_view name) const {
  for (const Header& header : headers) {
    if (EqualsIgnoreCase(header.name, name)) return &header.value;
  }
  return nullptr;
}

void RequestParser::Reset() {
  state_ = State::kHead;
  request_ = Request();
  head_.clear();
  line_.clear();
  remaining_ = 0;
  discard_body_ = false;
  error_status_ = 0;
  error_.clear();
}

void RequestParser::Fail(int status, std::string error) {
  state_ = State::kFailed;
  error_status_ = status;
  error_ = std::move(error);
}

size_t RequestParser::Feed(std::string_view data) {
  switch (state_) {
    case State::kHead:
      return FeedHead(data);
    case State::kBody:
      return FeedBody(data);
    case State::kDone:
    case State::kFailed:
      return 0;
  }
  return 0;
}

size_t RequestParser::FeedHead(std::string_view data) {
  size_t used = 0;
  if (head_.empty()) {
    // RFC 9112 2.2: ignore empty lines before a request line.
    while (used < data.size() && (data[used] == '\r' || data[used] == '\n')) ++used;
    data.remove_prefix(used);
  }
  const size_t known = head_.size();
  head_.append(data);
  const size_t end = head_.find("\r\n\r\n", known < 3 ? 0 : known - 3);
  if (end == std::string::npos) {
    if (head_.size() > limits_.head_bytes) Fail(431, "the request head is too large");
    return used + data.size();
  }
  if (end > limits_.head_bytes) {
    Fail(431, "the request head is too large");
    return used + data.size();
  }
  head_.resize(end + 2);  // every line keeps its CRLF
  used += end + 4 - known;
  ParseHead();
  return used;
}

void RequestParser::ParseHead() {
  std::string_view rest = head_;
  bool first = true;
  while (!rest.empty()) {
    const size_t end = rest.find("\r\n");
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 2);
    if (!(first ? ParseRequestLine(line) : ParseField(line, request_.headers))) return;
    first = false;
  }
  DecideFraming();
}

bool RequestParser::ParseRequestLine(std::string_view line) {
  const size_t first = line.find(' ');
  const size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    Fail(400, "the request line has not three parts");
    return false;
  }
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  const std::string_view version = line.substr(last + 1);
  const bool clean_target =
      !target.empty() && std::all_of(target.begin(), target.end(), [](char c) {
        return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
      });
  if (!IsToken(method) || !clean_target) {
    Fail(400, "the method or the target has characters that are not allowed");
    return false;
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    Fail(version.substr(0, 5) == "HTTP/" ? 505 : 400, "the version is not HTTP/1.1 or HTTP/1.0");
    return false;
  }
  request_.method = method;
  request_.target = target;
  request_.version_minor = version.back() - '0';
  return true;
}

bool RequestParser::ParseField(std::string_view line, std::vector<Header>& into) {
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    Fail(400, "a header line has no valid name");
    return false;
  }
  const std::string_view value = TrimBlanks(line.substr(colon + 1));
  for (const char c : value) {
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) {
      Fail(400, fmt::format("the value of {} has a control character", line.substr(0, colon)));
      return false;
    }
  }
  into.push_back({std::string(line.substr(0, colon)), std::string(value)});
  return true;
}

void RequestParser::DecideFraming() {
  const std::string* length = nullptr;
  const std::string* coding = nullptr;
  int hosts = 0;
  request_.keep_alive = request_.version_minor == 1;
  for (const Header& header : request_.headers) {
    if (EqualsIgnoreCase(header.name, "content-length")) {
      if (length != nullptr) return Fail(400, "Content-Length is there twice");
      length = &header.value;
    } else if (EqualsIgnoreCase(header.name, "transfer-encoding")) {
      if (coding != nullptr) return Fail(400, "Transfer-Encoding is there twice");
      coding = &header.value;
    } else if (EqualsIgnoreCase(header.name, "host")) {
      ++hosts;
    } else if (EqualsIgnoreCase(header.name, "connection")) {
      ForEachElement(header.value, [this](std::string_view option) {
        if (EqualsIgnoreCase(option, "close")) request_.keep_alive = false;
        if (EqualsIgnoreCase(option, "keep-alive") && request_.version_minor == 0) {
          request_.keep_alive = true;
        }
      });
    } else if (EqualsIgnoreCase(header.name, "expect")) {
      request_.expects_continue = EqualsIgnoreCase(header.value, "100-continue");
    }
  }
  if (hosts > 1 || (hosts == 0 && request_.version_minor == 1)) {
    return Fail(400, "an HTTP/1.1 request has exactly one Host");
  }
  if (length != nullptr && coding != nullptr) {
    return Fail(400, "Content-Length and Transfer-Encoding together");
  }
  if (coding != nullptr) {
    if (request_.version_minor == 0) return Fail(400, "Transfer-Encoding in HTTP/1.0");
    if (!EqualsIgnoreCase(*coding, "chunked")) return Fail(501, "only chunked is supported");
    request_.has_body = true;
    part_ = Part::kChunkSize;
    state_ = State::kBody;
    return;
  }
  if (length != nullptr) {
    const bool digits = !length->empty() && length->size() <= 18 &&
                        length->find_first_not_of("0123456789") == std::string::npos;
    if (!digits) return Fail(400, "Content-Length is not a number");
    remaining_ = std::stoull(*length);
  }
  request_.has_body = remaining_ > 0;
  part_ = Part::kLength;
  state_ = remaining_ > 0 ? State::kBody : State::kDone;
}

void RequestParser::KeepBody(std::string_view data) {
  request_.body_bytes += data.size();
  if (discard_body_) return;
  if (request_.body_bytes > limits_.body_bytes) return Fail(413, "the request body is too large");
  request_.body.append(data);
}

bool RequestParser::FeedLine(std::string_view data, size_t& used) {
  const size_t newline = data.find('\n', used);
  const size_t end = newline == std::string_view::npos ? data.size() : newline + 1;
  line_.append(data.substr(used, end - used));
  used = end;
  if (line_.size() > kMaxLineBytes) {
    Fail(400, "a line in the chunked body is too long");
    return false;
  }
  if (newline == std::string_view::npos) return false;
  if (line_.size() < 2 || line_[line_.size() - 2] != '\r') {
    Fail(400, "a line in the chunked body ends without CR");
    return false;
  }
  line_.resize(line_.size() - 2);
  return true;
}

void RequestParser::OnChunkSizeLine() {
  uint64_t size = 0;
  size_t digits = 0;
  while (digits < line_.size() && HexDigit(line_[digits]) >= 0) {
    if (digits == 15) return Fail(400, "a chunk size is too large");
    size = size * 16 + static_cast<uint64_t>(HexDigit(line_[digits]));
    ++digits;
  }
  const std::string_view after = TrimBlanks(std::string_view(line_).substr(digits));
  if (digits == 0 || (!after.empty() && after.front() != ';')) {
    return Fail(400, "a chunk size is not a number");
  }
  remaining_ = size;
  part_ = size == 0 ? Part::kTrailers : Part::kChunkData;
}

size_t RequestParser::FeedBody(std::string_view data) {
  size_t used = 0;
  while (state_ == State::kBody && used < data.size()) {
    if (part_ == Part::kLength || part_ == Part::kChunkData) {
      const size_t size = static_cast<size_t>(std::min<uint64_t>(remaining_, data.size() - used));
      KeepBody(data.substr(used, size));
      used += size;
      remaining_ -= size;
      if (remaining_ > 0 || state_ == State::kFailed) continue;
      if (part_ == Part::kLength) {
        state_ = State::kDone;
      } else {
        part_ = Part::kChunkEnd;
      }
      continue;
    }
    if (!FeedLine(data, used)) continue;
    if (part_ == Part::kChunkSize) {
      OnChunkSizeLine();
    } else if (part_ == Part::kChunkEnd) {
      if (!line_.empty()) Fail(400, "a chunk is longer than its size");
      if (state_ == State::kBody) part_ = Part::kChunkSize;
    } else if (line_.empty()) {
      state_ = State::kDone;
    } else {
      ParseField(line_, request_.trailers);
      if (request_.trailers.size() > 100) Fail(431, "too many trailers");
    }
    line_.clear();
  }
  return used;
}

}  // namespace outrigger::mock_ai
