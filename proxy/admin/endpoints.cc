#include "proxy/admin/endpoints.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string_view>

namespace outrigger::admin {
namespace {

using Json = nlohmann::ordered_json;

// Names come from configuration and clients; what is not UTF-8 must not throw.
Reply JsonReply(int status, const Json& json) {
  return {status, "application/json",
          json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n", ""};
}

Reply ErrorReply(const absl::Status& error) {
  int status = 500;
  if (absl::IsNotFound(error)) status = 404;
  if (absl::IsInvalidArgument(error)) status = 400;
  if (absl::IsFailedPrecondition(error)) status = 409;
  if (absl::IsUnavailable(error)) status = 503;
  return TextReply(status, std::string(error.message()));
}

Json Numbers(const std::vector<std::pair<std::string, int64_t>>& numbers) {
  Json json = Json::object();
  for (const auto& [name, value] : numbers) json[name] = value;
  return json;
}

std::string_view TrimWhitespace(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

}  // namespace

Reply TextReply(int status, std::string text) {
  Reply reply;
  reply.status = status;
  reply.body = std::move(text) + "\n";
  return reply;
}

struct Endpoints::Call {
  const Request& request;
  std::string_view argument;  // what follows the path of an endpoint that takes one
  MonoTime now;
  const std::function<CompleteFunction()>& make_complete;
};

struct Endpoints::Endpoint {
  enum class Access { kAnyone, kLoopback };

  std::string_view method;
  std::string_view path;  // with a slash at its end: something must follow
  Access access;
  std::optional<Reply> (Endpoints::*handler)(const Call&);
};

const Endpoints::Endpoint Endpoints::kEndpoints[] = {
    {"GET", "/livez", Endpoint::Access::kAnyone, &Endpoints::Livez},
    {"GET", "/health", Endpoint::Access::kAnyone, &Endpoints::Livez},
    {"GET", "/healthz", Endpoint::Access::kAnyone, &Endpoints::Livez},
    {"GET", "/readyz", Endpoint::Access::kAnyone, &Endpoints::Readyz},
    {"GET", "/ready", Endpoint::Access::kAnyone, &Endpoints::Readyz},
    {"GET", "/startupz", Endpoint::Access::kAnyone, &Endpoints::Startupz},
    {"GET", "/.outrigger/app-health/", Endpoint::Access::kAnyone, &Endpoints::AppProbe},
    {"GET", "/.outrigger/app-stop/", Endpoint::Access::kAnyone, &Endpoints::AppStop},
    {"GET", "/metrics", Endpoint::Access::kAnyone, &Endpoints::Metrics},
    {"GET", "/config", Endpoint::Access::kLoopback, &Endpoints::Config},
    {"GET", "/breakers", Endpoint::Access::kLoopback, &Endpoints::Breakers},
    {"POST", "/breakers/", Endpoint::Access::kLoopback, &Endpoints::SetBreaker},
    {"GET", "/idempotency", Endpoint::Access::kLoopback, &Endpoints::Idempotency},
    {"DELETE", "/idempotency/", Endpoint::Access::kLoopback, &Endpoints::ForgetKey},
    {"POST", "/drain", Endpoint::Access::kLoopback, &Endpoints::Drain},
    {"GET", "/log-level", Endpoint::Access::kLoopback, &Endpoints::GetLogLevel},
    {"PUT", "/log-level", Endpoint::Access::kLoopback, &Endpoints::SetLogLevel},
};

std::optional<Reply> Endpoints::Handle(const Request& request, MonoTime now,
                                       const std::function<CompleteFunction()>& make_complete) {
  const std::string_view path = request.path;
  const std::string_view method =
      request.method == "HEAD" ? "GET" : std::string_view(request.method);
  std::string allow;
  bool is_refused = false;
  for (const Endpoint& endpoint : kEndpoints) {
    std::string_view argument;
    if (endpoint.path.back() == '/') {
      if (!path.starts_with(endpoint.path) || path.size() == endpoint.path.size()) continue;
      argument = path.substr(endpoint.path.size());
    } else if (path != endpoint.path) {
      continue;
    }
    if (endpoint.access == Endpoint::Access::kLoopback && !request.is_from_loopback) {
      is_refused = true;
      continue;
    }
    if (endpoint.method == method) {
      return (this->*endpoint.handler)({request, argument, now, make_complete});
    }
    if (!allow.empty()) allow += ", ";
    allow += endpoint.method == "GET" ? "GET, HEAD" : endpoint.method;
  }
  if (is_refused) return TextReply(403, "only for clients on the loopback interface");
  if (!allow.empty()) {
    Reply reply = TextReply(405, fmt::format("allowed: {}", allow));
    reply.allow = std::move(allow);
    return reply;
  }
  std::string text = "no such path; there are:\n";
  for (const Endpoint& endpoint : kEndpoints) {
    const bool takes_argument = endpoint.path.back() == '/';
    text +=
        fmt::format("  {:7}{}{}\n", endpoint.method, endpoint.path, takes_argument ? "{...}" : "");
  }
  return TextReply(404, text);
}

std::optional<Reply> Endpoints::Probe(const Call& call, const HealthReport& report) {
  Reply reply;
  reply.status = report.ok() ? 200 : 503;
  const bool is_listed = !report.ok() || call.request.Query("verbose").has_value();
  reply.body = is_listed ? report.Text() : "ok\n";
  return reply;
}

std::optional<Reply> Endpoints::Livez(const Call& call) {
  return Probe(call, health_.Live(call.now));
}
std::optional<Reply> Endpoints::Readyz(const Call& call) { return Probe(call, health_.Ready()); }
std::optional<Reply> Endpoints::Startupz(const Call& call) {
  return Probe(call, health_.Started());
}

std::optional<Reply> Endpoints::AppProbe(const Call& call) {
  return app_probes_.Ask(call.argument, call.request, call.make_complete);
}

std::optional<Reply> Endpoints::AppStop(const Call& call) {
  return app_stops_.Ask(call.argument, call.request, call.make_complete);
}

std::optional<Reply> Endpoints::Metrics(const Call&) {
  return Reply{200, "text/plain; version=0.0.4; charset=utf-8", backend_.Metrics(), ""};
}

std::optional<Reply> Endpoints::Config(const Call&) {
  return Reply{200, "application/yaml", backend_.Config(), ""};
}

std::optional<Reply> Endpoints::Breakers(const Call&) {
  Json list = Json::array();
  for (const BreakerView& breaker : backend_.Breakers()) {
    Json json = {{"id", breaker.id}, {"state", breaker.state}, {"control", breaker.control}};
    json.update(Numbers(breaker.numbers));
    list.push_back(std::move(json));
  }
  return JsonReply(200, {{"breakers", std::move(list)}});
}

std::optional<Reply> Endpoints::SetBreaker(const Call& call) {
  // The command follows the last colon: an id may contain colons and slashes.
  const size_t colon = call.argument.rfind(':');
  if (colon == std::string_view::npos || colon == 0) {
    return TextReply(400, "expected /breakers/{id}:{open,close,auto}");
  }
  const std::string_view id = call.argument.substr(0, colon);
  const std::string_view word = call.argument.substr(colon + 1);
  BreakerCommand command = BreakerCommand::kAuto;
  if (word == "open") {
    command = BreakerCommand::kOpen;
  } else if (word == "close") {
    command = BreakerCommand::kClose;
  } else if (word != "auto") {
    return TextReply(400, "a breaker can be set to open, close or auto");
  }
  const absl::Status status = backend_.SetBreaker(id, command);
  if (!status.ok()) return ErrorReply(status);
  return JsonReply(200, {{"id", id}, {"control", word}});
}

std::optional<Reply> Endpoints::Idempotency(const Call&) {
  return JsonReply(200, Numbers(backend_.Idempotency()));
}

std::optional<Reply> Endpoints::ForgetKey(const Call& call) {
  const absl::Status status = backend_.ForgetKey(call.argument);
  if (!status.ok()) return ErrorReply(status);
  return JsonReply(200, {{"forgotten", call.argument}});
}

std::optional<Reply> Endpoints::Drain(const Call& call) {
  std::optional<absl::Duration> timeout;
  if (const auto text = call.request.Query("timeout"); text.has_value()) {
    absl::Duration parsed;
    if (!absl::ParseDuration(absl::string_view(text->data(), text->size()), &parsed) ||
        parsed < absl::ZeroDuration()) {
      return TextReply(400, "timeout is not a duration such as 20s");
    }
    timeout = parsed;
  }
  if (!call.request.Query("wait").has_value()) {
    backend_.Drain(timeout, [] {});
    return JsonReply(202, {{"state", "draining"}});
  }
  backend_.Drain(timeout, [complete = call.make_complete()] {
    complete(JsonReply(200, {{"state", "drained"}}));
  });
  return std::nullopt;
}

std::optional<Reply> Endpoints::GetLogLevel(const Call&) {
  return TextReply(200, backend_.LogLevel());
}

std::optional<Reply> Endpoints::SetLogLevel(const Call& call) {
  const std::string_view level = TrimWhitespace(call.request.body);
  const absl::Status status = backend_.SetLogLevel(level);
  if (!status.ok()) return ErrorReply(status);
  return TextReply(200, backend_.LogLevel());
}

}  // namespace outrigger::admin
