#include "tools/mock-ai/answer.h"

#include <utility>

#include "fmt/format.h"
#include "tools/mock-ai/json_fields.h"

namespace outrigger::mock_ai {
namespace {

std::string_view ErrorType(Dialect dialect, int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 529:
      return "overloaded_error";
    default:
      break;
  }
  if (status < 500) return "invalid_request_error";
  return dialect == Dialect::kAnthropic ? "api_error" : "server_error";
}

Json ErrorJson(Dialect dialect, int status, std::string_view message) {
  const std::string_view type = ErrorType(dialect, status);
  if (dialect == Dialect::kAnthropic) {
    return {{"type", "error"}, {"error", {{"type", type}, {"message", message}}}};
  }
  return {{"error", {{"message", message}, {"type", type}, {"param", nullptr}, {"code", status}}}};
}

}  // namespace

uint64_t Answer::body_bytes() const {
  uint64_t total = 0;
  for (const Step& step : steps) total += step.size();
  return total;
}

Answer MakeAnswer(int status, std::string_view content_type, std::string body) {
  Answer answer;
  answer.status = status;
  if (!content_type.empty()) answer.headers.push_back({"content-type", std::string(content_type)});
  if (!body.empty()) {
    answer.steps.emplace_back();
    answer.steps.back().data = std::move(body);
  }
  return answer;
}

Answer ErrorAnswer(Dialect dialect, int status, std::string_view message) {
  Answer answer = MakeAnswer(status, "application/json", Dump(ErrorJson(dialect, status, message)));
  answer.dialect = dialect;
  return answer;
}

std::string ErrorEvent(Dialect dialect, std::string_view message) {
  const int status = dialect == Dialect::kAnthropic ? 529 : 500;
  const std::string json = Dump(ErrorJson(dialect, status, message));
  if (dialect == Dialect::kAnthropic) return fmt::format("event: error\ndata: {}\n\n", json);
  return fmt::format("data: {}\n\n", json);
}

}  // namespace outrigger::mock_ai
