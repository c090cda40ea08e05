#include "proxy/admin/http2_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>
#include <vector>

namespace outrigger::admin {
namespace {

constexpr std::string_view kUserAgent = "outrigger-health";
constexpr std::string_view kHealthMethod = "/grpc.health.v1.Health/Check";
constexpr uint64_t kServing = 1;
constexpr size_t kPrefixBytes = 5;  // of a gRPC message: flag and length
constexpr size_t kMaxAnswerBytes = 1024;
constexpr size_t kMaxVarintBytes = 10;

std::string_view Text(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

int ParseStatus(std::string_view text) {
  int status = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), status);
  return error == std::errc() && end == text.data() + text.size() ? status : 0;
}

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  out += static_cast<char>(value);
}

std::optional<uint64_t> TakeVarint(std::string_view& text) {
  uint64_t value = 0;
  for (size_t i = 0; i < std::min(text.size(), kMaxVarintBytes); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    value |= uint64_t{byte & 0x7fU} << (7 * i);
    if ((byte & 0x80) != 0) continue;
    text.remove_prefix(i + 1);
    return value;
  }
  return std::nullopt;
}

}  // namespace

std::string GrpcHealthRequest(std::string_view service) {
  std::string body;
  if (!service.empty()) {
    body += '\x0a';
    AppendVarint(body, service.size());
    body += service;
  }
  std::string message(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) message += static_cast<char>(body.size() >> shift);
  return message + body;
}

std::optional<uint64_t> GrpcHealthStatus(std::string_view message) {
  if (message.size() < kPrefixBytes || message[0] != '\0') return std::nullopt;
  uint64_t size = 0;
  for (size_t i = 1; i < kPrefixBytes; ++i) {
    size = size << 8 | static_cast<unsigned char>(message[i]);
  }
  message.remove_prefix(kPrefixBytes);
  if (size != message.size()) return std::nullopt;
  uint64_t status = 0;
  while (!message.empty()) {
    const std::optional<uint64_t> tag = TakeVarint(message);
    if (!tag.has_value() || (*tag & 7) != 0) return std::nullopt;  // others than numbers
    const std::optional<uint64_t> value = TakeVarint(message);
    if (!value.has_value()) return std::nullopt;
    if (*tag >> 3 == 1) status = *value;
  }
  return status;
}

// Called by nghttp2, which is C: nothing is thrown here.
struct Http2Check::Callbacks {
  static Http2Check& Self(void* user_data) { return *static_cast<Http2Check*>(user_data); }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    Http2Check& check = Self(user_data);
    if (Text(name, name_size) == ":status") {
      check.status_ = ParseStatus(Text(value, value_size));
    } else if (Text(name, name_size) == "grpc-status") {
      check.grpc_status_ = Text(value, value_size);
    }
    return 0;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t, const uint8_t* data, size_t size,
                    void* user_data) {
    Http2Check& check = Self(user_data);
    const size_t room = kMaxAnswerBytes - check.answer_.size();
    if (check.is_grpc_) check.answer_ += Text(data, size).substr(0, room);
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Http2Check& check = Self(user_data);
    if (frame->hd.type == NGHTTP2_SETTINGS) check.has_settings_ = true;
    // Interim answers come before the one that counts.
    const bool is_head = frame->hd.type == NGHTTP2_HEADERS && check.status_ >= 200;
    if (!is_head || check.is_grpc_ || check.result_.has_value()) return 0;
    if (!check.wants_whole_answer_) {
      check.result_ = JudgeStatus(check.status_);
    } else if (const CheckResult judged = JudgeStatus(check.status_, 299);
               judged.outcome != CheckOutcome::kSuccess) {
      check.result_ = judged;
    }
    return 0;
  }

  static int OnStreamClosed(nghttp2_session*, int32_t, uint32_t error, void* user_data) {
    Http2Check& check = Self(user_data);
    // Nothing else will be asked.
    nghttp2_session_terminate_session(check.session_, NGHTTP2_NO_ERROR);
    if (check.result_.has_value()) return 0;
    if (error == NGHTTP2_NO_ERROR && check.is_grpc_) {
      check.result_ = check.JudgeCall();
    } else if (error == NGHTTP2_NO_ERROR && check.wants_whole_answer_) {
      check.result_ = JudgeStatus(check.status_, 299);
    } else {
      check.result_ = {CheckOutcome::kError,
                       fmt::format("the stream was closed: {}", nghttp2_http2_strerror(error))};
    }
    return 0;
  }

  static ssize_t ReadMessage(nghttp2_session*, int32_t, uint8_t* out, size_t room, uint32_t* flags,
                             nghttp2_data_source*, void* user_data) {
    std::string& message = Self(user_data).message_;
    const size_t size = std::min(room, message.size());
    std::copy_n(message.data(), size, reinterpret_cast<char*>(out));
    message.erase(0, size);
    if (message.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(size);
  }
};

Http2Check::Http2Check(const CheckQuestion& question, bool is_secure)
    : is_grpc_(question.grpc_service.has_value()),
      wants_whole_answer_(question.wants_whole_answer) {
  nghttp2_session_callbacks* callbacks = nullptr;
  if (nghttp2_session_callbacks_new(&callbacks) != 0) std::abort();
  nghttp2_session_callbacks_set_on_header_callback(callbacks, Callbacks::OnHeader);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, Callbacks::OnData);
  nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, Callbacks::OnFrame);
  nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, Callbacks::OnStreamClosed);
  if (nghttp2_session_client_new(&session_, callbacks, this) != 0) std::abort();
  nghttp2_session_callbacks_del(callbacks);
  const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, std::size(settings));
  Submit(question, is_secure);
}

Http2Check::~Http2Check() { nghttp2_session_del(session_); }

void Http2Check::Submit(const CheckQuestion& question, bool is_secure) {
  std::vector<nghttp2_nv> fields;
  const auto add = [&fields](std::string_view name, std::string_view value) {
    // nghttp2 copies both.
    const auto bytes = [](std::string_view text) {
      return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
    };
    fields.push_back({bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  };
  add(":method", is_grpc_ ? std::string_view("POST") : std::string_view(question.method));
  add(":scheme", is_secure ? "https" : "http");
  add(":authority", question.authority);
  add(":path", is_grpc_ ? kHealthMethod : std::string_view(question.path));
  // Until nghttp2 has copied them.
  const std::vector<std::pair<std::string, std::string>> own =
      wants_whole_answer_ ? RequestFields(question)
                          : std::vector<std::pair<std::string, std::string>>();
  for (const auto& [name, value] : own) add(name, value);
  if (!wants_whole_answer_) add("user-agent", kUserAgent);
  if (is_grpc_) {
    add("content-type", "application/grpc");
    add("te", "trailers");
    message_ = GrpcHealthRequest(*question.grpc_service);
  } else if (wants_whole_answer_) {
    message_ = question.body;
  } else {
    add("accept", "*/*");
  }
  nghttp2_data_provider provider{};
  provider.read_callback = Callbacks::ReadMessage;
  nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(),
                         message_.empty() ? nullptr : &provider, nullptr);
}

std::string Http2Check::TakeOutput() {
  Pump();
  return std::exchange(output_, {});
}

std::optional<CheckResult> Http2Check::Receive(std::string_view bytes) {
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

void Http2Check::Pump() {
  const uint8_t* bytes = nullptr;
  for (ssize_t n; (n = nghttp2_session_mem_send(session_, &bytes)) > 0;) {
    output_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
  }
}

CheckResult Http2Check::JudgeCall() const {
  if (status_ != 200) return {CheckOutcome::kBadStatus, fmt::format("status {}", status_)};
  if (grpc_status_.empty()) return {CheckOutcome::kError, "answer is not gRPC"};
  if (grpc_status_ != "0") {
    return {CheckOutcome::kBadStatus, fmt::format("grpc-status {}", grpc_status_)};
  }
  const std::optional<uint64_t> health = GrpcHealthStatus(answer_);
  if (!health.has_value()) return {CheckOutcome::kError, "answer is not a health status"};
  if (*health == kServing) return {CheckOutcome::kSuccess, ""};
  return {CheckOutcome::kBadStatus, fmt::format("health status {}, not SERVING", *health)};
}

}  // namespace outrigger::admin
