#include "proxy/admin/check_protocol.h"

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <cstdlib>
#include <utility>

namespace outrigger::admin {
namespace {

constexpr size_t kMaxStatusLine = 1024;
constexpr std::string_view kUserAgent = "outrigger-health";

CheckResult Judge(int status) {
  if (status >= 200 && status < 400) return {CheckOutcome::kSuccess, ""};
  return {CheckOutcome::kBadStatus, fmt::format("status {}", status)};
}

std::optional<int> ParseCode(std::string_view digits) {
  if (digits.size() != 3) return std::nullopt;
  int status = 0;
  for (char c : digits) {
    if (c < '0' || c > '9') return std::nullopt;
    status = status * 10 + (c - '0');
  }
  return status;
}

// "HTTP/1.1 200 OK" -> 200; nothing when it is no status line.
std::optional<int> ParseStatus(std::string_view line) {
  if (!line.starts_with("HTTP/1.") || line.size() < 12 || line[8] != ' ') return std::nullopt;
  if (line.size() > 12 && line[12] != ' ') return std::nullopt;
  return ParseCode(line.substr(9, 3));
}

class Http1Check final : public CheckProtocol {
 public:
  explicit Http1Check(const CheckQuestion& question)
      : output_(fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: {}\r\nAccept: */*\r\n"
                            "Connection: close\r\n\r\n",
                            question.path, question.authority, kUserAgent)) {}

  std::string TakeOutput() override { return std::exchange(output_, {}); }

  std::optional<CheckResult> Receive(std::string_view bytes) override {
    if (result_.has_value()) return result_;
    line_.append(bytes.substr(0, kMaxStatusLine - line_.size()));
    const size_t end = line_.find('\n');
    if (end == std::string::npos && line_.size() < kMaxStatusLine) return std::nullopt;
    std::string_view line = std::string_view(line_).substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::optional<int> status = end == std::string::npos ? std::nullopt : ParseStatus(line);
    result_ = status.has_value() ? Judge(*status)
                                 : CheckResult{CheckOutcome::kError, "answer is not HTTP"};
    return result_;
  }

 private:
  std::string output_;
  std::string line_;
  std::optional<CheckResult> result_;
};

class Http2Check final : public CheckProtocol {
 public:
  Http2Check(const CheckQuestion& question, bool is_secure) {
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) std::abort();
    nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, OnStreamClose);
    if (nghttp2_session_client_new(&session_, callbacks, this) != 0) std::abort();
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
    const std::string_view scheme = is_secure ? "https" : "http";
    const nghttp2_nv fields[] = {Field(":method", "GET"),
                                 Field(":scheme", scheme),
                                 Field(":authority", question.authority),
                                 Field(":path", question.path),
                                 Field("user-agent", kUserAgent),
                                 Field("accept", "*/*")};
    nghttp2_submit_request(session_, nullptr, fields, std::size(fields), nullptr, nullptr);
  }
  ~Http2Check() override { nghttp2_session_del(session_); }
  Http2Check(const Http2Check&) = delete;
  Http2Check& operator=(const Http2Check&) = delete;

  std::string TakeOutput() override {
    Pump();
    return std::exchange(output_, {});
  }

  std::optional<CheckResult> Receive(std::string_view bytes) override {
    const ssize_t taken = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    // A session that found a fault is over once it has said so.
    Pump();
    if (!result_.has_value() && (taken < 0 || nghttp2_session_want_read(session_) == 0)) {
      result_ = {CheckOutcome::kError,
                 has_settings_ ? "the connection was given up" : "answer is not HTTP/2"};
    }
    return result_;
  }

 private:
  static nghttp2_nv Field(std::string_view name, std::string_view value) {
    // nghttp2 copies both.
    const auto bytes = [](std::string_view text) {
      return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
    };
    return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
  }
  void Pump() {
    const uint8_t* bytes = nullptr;
    for (ssize_t n; (n = nghttp2_session_mem_send(session_, &bytes)) > 0;) {
      output_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
    }
  }
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* self) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (std::string_view(reinterpret_cast<const char*>(name), name_size) != ":status") return 0;
    static_cast<Http2Check*>(self)->status_ =
        ParseCode({reinterpret_cast<const char*>(value), value_size}).value_or(0);
    return 0;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* self) {
    auto& check = *static_cast<Http2Check*>(self);
    if (frame->hd.type == NGHTTP2_SETTINGS) check.has_settings_ = true;
    // Interim answers come before the one that counts.
    const bool is_head = frame->hd.type == NGHTTP2_HEADERS && check.status_ >= 200;
    if (is_head && !check.result_.has_value()) check.result_ = Judge(check.status_);
    return 0;
  }
  static int OnStreamClose(nghttp2_session*, int32_t, uint32_t error, void* self) {
    auto& check = *static_cast<Http2Check*>(self);
    // Nothing else will be asked.
    nghttp2_session_terminate_session(check.session_, NGHTTP2_NO_ERROR);
    if (check.result_.has_value()) return 0;
    check.result_ = {CheckOutcome::kError,
                     fmt::format("the stream was closed: {}", nghttp2_http2_strerror(error))};
    return 0;
  }

  nghttp2_session* session_ = nullptr;
  int status_ = 0;
  bool has_settings_ = false;
  std::string output_;
  std::optional<CheckResult> result_;
};

}  // namespace

std::unique_ptr<CheckProtocol> NewCheckProtocol(const CheckQuestion& question, bool is_secure) {
  if (question.is_http2) return std::make_unique<Http2Check>(question, is_secure);
  return std::make_unique<Http1Check>(question);
}

}  // namespace outrigger::admin
