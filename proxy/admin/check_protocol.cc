#include "proxy/admin/check_protocol.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "proxy/admin/http2_check.h"
#include "proxy/admin/inference_check.h"

namespace outrigger::admin {
namespace {

constexpr size_t kMaxStatusLine = 1024;
constexpr std::string_view kUserAgent = "outrigger-health";

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
      : output_(fmt::format("GET {} HTTP/1.1\r\n{}Connection: close\r\n\r\n", question.path,
                            question.fields.empty()
                                ? fmt::format("Host: {}\r\nUser-Agent: {}\r\nAccept: */*\r\n",
                                              question.authority, kUserAgent)
                                : question.fields)) {}

  std::string TakeOutput() override { return std::exchange(output_, {}); }

  std::optional<CheckResult> Receive(std::string_view bytes) override {
    if (result_.has_value()) return result_;
    line_.append(bytes.substr(0, kMaxStatusLine - line_.size()));
    const size_t end = line_.find('\n');
    if (end == std::string::npos && line_.size() < kMaxStatusLine) return std::nullopt;
    std::string_view line = std::string_view(line_).substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::optional<int> status = end == std::string::npos ? std::nullopt : ParseStatus(line);
    result_ = status.has_value() ? JudgeStatus(*status)
                                 : CheckResult{CheckOutcome::kError, "answer is not HTTP"};
    return result_;
  }

 private:
  std::string output_;
  std::string line_;
  std::optional<CheckResult> result_;
};

}  // namespace

CheckResult JudgeStatus(int status, int highest) {
  if (status >= 200 && status <= highest) return {CheckOutcome::kSuccess, "", status};
  return {CheckOutcome::kBadStatus, fmt::format("status {}", status), status};
}

std::vector<std::pair<std::string, std::string>> RequestFields(const CheckQuestion& question) {
  std::vector<std::pair<std::string, std::string>> fields = question.extra_fields;
  // What was stated takes the place of ours.
  const auto add = [&fields](std::string_view name, std::string_view value) {
    if (std::ranges::any_of(fields, [&](const auto& field) { return field.first == name; })) return;
    fields.emplace_back(name, value);
  };
  add("user-agent", kUserAgent);
  add("accept", "*/*");
  if (question.method == "GET") return fields;
  if (!question.body.empty()) add("content-type", question.content_type);
  fields.emplace_back("content-length", fmt::format("{}", question.body.size()));
  return fields;
}

std::unique_ptr<CheckProtocol> NewCheckProtocol(const CheckQuestion& question, bool is_secure) {
  if (question.is_http2) return std::make_unique<Http2Check>(question, is_secure);
  if (question.wants_whole_answer) return std::make_unique<InferenceCheck>(question);
  return std::make_unique<Http1Check>(question);
}

}  // namespace outrigger::admin
