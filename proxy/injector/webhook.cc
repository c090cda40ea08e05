#include "proxy/injector/webhook.h"

#include <utility>

#include "fmt/format.h"
#include "proxy/http/headers.h"

namespace outrigger::injector {
namespace {

using http::Method;

constexpr std::string_view kJson = "application/json";

Reply Text(int status, std::string_view text) {
  Reply reply;
  reply.status = status;
  reply.body = fmt::format("{}\n", text);
  return reply;
}

Reply NotAllowed(std::string_view allow) {
  Reply reply = Text(405, fmt::format("allowed: {}", allow));
  reply.allow = allow;
  return reply;
}

// Without its parameters.
bool IsJson(std::string_view content_type) {
  const std::string_view type = content_type.substr(0, content_type.find(';'));
  return http::EqualsIgnoreCase(http::TrimOws(type), kJson);
}

}  // namespace

Reply Webhook::Answer(const Question& question) {
  const std::string_view path = question.target.substr(0, question.target.find('?'));
  if (path == "/mutate") {
    return question.method == Method::kPost ? Mutate(question) : NotAllowed("POST");
  }
  if (path != "/livez" && path != "/readyz" && path != "/metrics") {
    return Text(404, "no such path; there are POST /mutate, GET /livez, /readyz and /metrics");
  }
  if (question.method != Method::kGet && question.method != Method::kHead) {
    return NotAllowed("GET, HEAD");
  }
  if (path == "/livez") return Text(200, "ok");
  if (path == "/readyz") return Ready();
  return {.content_type = "text/plain; version=0.0.4; charset=utf-8",
          .body = parts_.metrics.Serialize()};
}

Reply Webhook::Ready() {
  const std::string problem = parts_.problem();
  return problem.empty() ? Text(200, "ok") : Text(503, problem);
}

Reply Webhook::Mutate(const Question& question) {
  if (!IsJson(question.content_type)) {
    parts_.metrics.CountMalformed();
    return Text(415, "the review has to be application/json");
  }
  absl::StatusOr<ReviewAnswer> answer = AnswerReview(parts_.inject, question.body);
  if (!answer.ok()) {
    const std::string_view problem(answer.status().message().data(),
                                   answer.status().message().size());
    parts_.metrics.CountMalformed();
    parts_.log.Warn("review_malformed").Str("problem", problem);
    return Text(400, problem);
  }
  parts_.metrics.Count(answer->verdict);
  parts_.log.Info("review")
      .Str("pod", answer->pod)
      .Str("verdict", VerdictName(answer->verdict))
      .Str("reason", answer->reason);
  return {.content_type = kJson, .body = std::move(answer->body)};
}

}  // namespace outrigger::injector
