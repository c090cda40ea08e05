#include "tools/mock-ai/service.h"

#include <charconv>
#include <utility>

#include "fmt/format.h"
#include "openssl/evp.h"
#include "tools/mock-ai/anthropic.h"
#include "tools/mock-ai/apply_faults.h"
#include "tools/mock-ai/openai.h"

namespace outrigger::mock_ai {
namespace {

constexpr std::string_view kJson = "application/json";
constexpr uint64_t kMaxBytes = uint64_t{1} << 40;

bool StartsWith(std::string_view text, std::string_view prefix) {
  return text.substr(0, prefix.size()) == prefix;
}

// The path itself or something below it.
bool IsAtOrBelow(std::string_view path, std::string_view root) {
  return StartsWith(path, root) && (path.size() == root.size() || path[root.size()] == '/');
}

bool IsHealth(std::string_view path) { return path == "/health" || path == "/healthz"; }

// Requests about the service itself: no faults, no ledger entry.
bool IsControl(std::string_view path) {
  return IsAtOrBelow(path, "/admin") || IsAtOrBelow(path, "/ledger");
}

Dialect DialectOf(std::string_view path) {
  return StartsWith(path, "/v1/messages") ? Dialect::kAnthropic : Dialect::kOpenAi;
}

std::optional<uint64_t> ParseSize(std::string_view text) {
  uint64_t size = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  const bool is_number = error == std::errc() && end == text.data() + text.size() && !text.empty();
  return is_number && size <= kMaxBytes ? std::optional(size) : std::nullopt;
}

std::string Sha256Hex(std::string_view data) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(data.data(), data.size(), digest, &size, EVP_sha256(), nullptr) != 1) return "";
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

Json HeadersJson(const std::vector<Header>& headers) {
  Json json = Json::array();
  for (const Header& header : headers) json.push_back(Json::array({header.name, header.value}));
  return json;
}

Answer JsonAnswer(int status, const Json& json) { return MakeAnswer(status, kJson, Dump(json)); }

Answer NotAllowed(std::string_view allowed) {
  Answer answer = ErrorAnswer(Dialect::kOpenAi, 405, "this method is not allowed here");
  answer.headers.push_back({"allow", std::string(allowed)});
  return answer;
}

// An endpoint that generates something from a JSON body.
struct ModelEndpoint {
  std::string_view path;
  Dialect dialect;
  std::string (*problem)(const Json& body);
  Answer (*run)(const ModelCall& call);
};

constexpr ModelEndpoint kModelEndpoints[] = {
    {"/v1/chat/completions", Dialect::kOpenAi, ChatProblem, ChatCompletion},
    {"/v1/completions", Dialect::kOpenAi, CompletionProblem, Completion},
    {"/v1/embeddings", Dialect::kOpenAi, EmbeddingsProblem, Embeddings},
    {"/v1/messages", Dialect::kAnthropic, MessagesProblem, Messages},
};

const ModelEndpoint* FindModelEndpoint(std::string_view path) {
  for (const ModelEndpoint& endpoint : kModelEndpoints) {
    if (endpoint.path == path) return &endpoint;
  }
  return nullptr;
}

}  // namespace

Service::Service(ServiceOptions options, SetListening set_listening)
    : options_(std::move(options)),
      set_listening_(std::move(set_listening)),
      ledger_(options_.ledger_ids) {}

Exchange Service::Open(const Request& head) {
  Exchange exchange;
  if (IsControl(head.path())) return exchange;
  const bool is_health = IsHealth(head.path());
  if (const std::string* id = head.Find("x-mock-id"); id != nullptr && !id->empty()) {
    exchange.id = *id;
  } else if (const std::string* key = head.Find("idempotency-key");
             key != nullptr && !key->empty()) {
    exchange.id = *key;
  } else if (!is_health) {
    exchange.id = fmt::format("auto-{}", next_id_++);
  }
  const uint64_t nth = is_health ? 1 : ledger_.Receive(exchange.id);

  std::optional<FaultPlan> plan;
  if (const std::string* spec = head.Find("x-mock-fault"); spec != nullptr) {
    absl::StatusOr<FaultPlan> parsed = ParseFaults(*spec);
    if (parsed.ok()) {
      plan = *std::move(parsed);
    } else {
      exchange.fault_error = std::string(parsed.status().message());
    }
  } else {
    plan = faults_.Take(head.path(), is_health);
  }
  if (plan.has_value() && nth <= plan->first.value_or(nth)) exchange.faults = *std::move(plan);
  return exchange;
}

void Service::Begin(const Request& request, Exchange& exchange) {
  exchange.ticket = ledger_.Begin(exchange.id, request.path());
}

void Service::Close(const Exchange& exchange, Ledger::Outcome outcome, absl::Duration elapsed) {
  ledger_.End(exchange.ticket, outcome, elapsed);
}

double Service::LoadStretch() const {
  return 1 + options_.load_factor * static_cast<double>(ledger_.in_flight());
}

TokenOptions Service::TokensFor(const Exchange& exchange) const {
  TokenOptions tokens = options_.tokens;
  tokens.ttft = exchange.faults.ttft.value_or(tokens.ttft) * LoadStretch();
  tokens.itl = exchange.faults.itl.value_or(tokens.itl) * LoadStretch();
  tokens.tokens = exchange.faults.tokens.value_or(tokens.tokens);
  return tokens;
}

Answer Service::Handle(const Request& request, Exchange& exchange, const Origin& origin) {
  if (!exchange.fault_error.empty()) {
    return ErrorAnswer(DialectOf(request.path()), 400, exchange.fault_error);
  }
  const FaultPlan& faults = exchange.faults;
  Answer answer;
  if (faults.status.has_value()) {
    if (faults.is_executed) Begin(request, exchange);
    answer = ErrorAnswer(DialectOf(request.path()), *faults.status, "a fault that was asked for");
  } else {
    answer = Route(request, exchange, origin);
  }
  if (absl::Status status = ApplyFaults(faults, answer); !status.ok()) {
    return ErrorAnswer(DialectOf(request.path()), 400, std::string(status.message()));
  }
  if (exchange.ticket.execution > 0) {
    answer.headers.push_back({"x-mock-id", exchange.id});
    answer.headers.push_back({"x-mock-execution", fmt::format("{}", exchange.ticket.execution)});
  }
  return answer;
}

Answer Service::HandleEarly(const Request& head, Exchange& exchange) {
  const EarlyResponse early = exchange.faults.early.value_or(EarlyResponse());
  if (early.status < 400) Begin(head, exchange);
  Answer answer = ErrorAnswer(DialectOf(head.path()), early.status, "answered before the body");
  if (early.status < 400) answer = JsonAnswer(early.status, {{"early", true}});
  if (absl::Status status = ApplyFaults(exchange.faults, answer); !status.ok()) {
    answer = ErrorAnswer(DialectOf(head.path()), 400, std::string(status.message()));
  }
  if (early.aborts) {
    answer.afterwards = Afterwards::kAbort;
  } else if (!early.keeps_connection) {
    answer.afterwards = Afterwards::kAnnounceClose;
  }
  return answer;
}

Answer Service::Route(const Request& request, Exchange& exchange, const Origin& origin) {
  const std::string_view path = request.path();
  if (IsHealth(path)) return HealthCheck();
  if (path == "/ledger") return LedgerCall(request);
  if (IsAtOrBelow(path, "/admin")) return Admin(request, origin);
  if (origin.is_admin) return ErrorAnswer(Dialect::kOpenAi, 404, "not on the admin address");
  if (FindModelEndpoint(path) != nullptr) return Model(request, exchange);
  if (path == "/v1/models") {
    if (request.method != "GET" && request.method != "HEAD") return NotAllowed("GET, HEAD");
    return Models(options_.models);
  }
  if (IsAtOrBelow(path, "/effect")) return Effect(request, exchange);
  if (IsAtOrBelow(path, "/echo")) return Echo(request, exchange, origin);
  if (StartsWith(path, "/bytes/")) return Bytes(request, exchange, false);
  if (StartsWith(path, "/chunked/")) return Bytes(request, exchange, true);
  return ErrorAnswer(DialectOf(path), 404, "there is nothing at this path");
}

Answer Service::Model(const Request& request, Exchange& exchange) {
  if (request.method != "POST") return NotAllowed("POST");
  const ModelEndpoint& endpoint = *FindModelEndpoint(request.path());
  const Json body = ParseJson(request.body);
  if (const std::string problem = endpoint.problem(body); !problem.empty()) {
    return ErrorAnswer(endpoint.dialect, 400, problem);
  }
  const TokenOptions tokens = TokensFor(exchange);
  Begin(request, exchange);
  return endpoint.run({.body = body,
                       .raw_body = request.body,
                       .tokens = tokens,
                       .seed = options_.seed,
                       .id = exchange.id,
                       .execution = exchange.ticket.execution,
                       .embedding_dimensions = options_.embedding_dimensions});
}

Answer Service::Effect(const Request& request, Exchange& exchange) {
  if (request.method == "GET" || request.method == "HEAD") {
    return NotAllowed("POST, PUT, PATCH, DELETE");
  }
  Begin(request, exchange);
  return JsonAnswer(200, {{"effect", exchange.id}, {"execution", exchange.ticket.execution}});
}

Answer Service::Echo(const Request& request, Exchange& exchange, const Origin& origin) {
  Begin(request, exchange);
  return JsonAnswer(200, {{"method", request.method},
                          {"target", request.target},
                          {"version", fmt::format("HTTP/1.{}", request.version_minor)},
                          {"headers", HeadersJson(request.headers)},
                          {"body_bytes", request.body.size()},
                          {"body_sha256", Sha256Hex(request.body)},
                          {"trailers", HeadersJson(request.trailers)},
                          {"connection", origin.connection},
                          {"nth_on_connection", origin.nth_on_connection},
                          {"execution", exchange.ticket.execution}});
}

Answer Service::Bytes(const Request& request, Exchange& exchange, bool is_chunked) {
  const std::string_view path = request.path();
  const std::optional<uint64_t> size = ParseSize(path.substr(path.rfind('/') + 1));
  if (!size.has_value()) return ErrorAnswer(Dialect::kOpenAi, 404, "expected a number of bytes");
  Answer answer = MakeAnswer(200, "application/octet-stream", "");
  if (is_chunked) answer.framing = Framing::kChunked;
  if (*size > 0) {
    Step step;
    step.fill = *size;
    const std::string chunk = request.QueryValue("chunk");
    if (is_chunked && !chunk.empty()) {
      const std::optional<uint64_t> piece = ParseSize(chunk);
      if (!piece.has_value() || *piece == 0 || *piece > (1U << 20)) {
        return ErrorAnswer(Dialect::kOpenAi, 400, "chunk has to be from 1 to 1048576");
      }
      step.piece = *piece;
    }
    answer.steps.push_back(std::move(step));
  }
  Begin(request, exchange);
  return answer;
}

Answer Service::HealthCheck() const {
  if (health_ == Health::kUnavailable) return JsonAnswer(503, {{"status", "unavailable"}});
  Answer answer = JsonAnswer(200, {{"status", "ok"}});
  if (health_ == Health::kStall) answer.opening = Opening::kStall;
  // Real servers answer probes from the loop that also generates, so probes slow down under load.
  answer.head_delay = options_.tokens.ttft * (LoadStretch() - 1);
  return answer;
}

Answer Service::LedgerCall(const Request& request) {
  if (request.method == "DELETE") {
    ledger_.Clear();
    return MakeAnswer(204, "", "");
  }
  if (request.method != "GET") return NotAllowed("GET, DELETE");
  const std::string id = request.QueryValue("id");
  return JsonAnswer(200, id.empty() ? ledger_.ToJson() : ledger_.ToJson(id));
}

Answer Service::Admin(const Request& request, const Origin& origin) {
  const std::string_view path = request.path();
  if (path == "/admin/faults") return AdminFaults(request);
  if (request.method != "POST") return NotAllowed("POST");
  const Json body = ParseJson(request.body);
  if (!body.is_object()) {
    return ErrorAnswer(Dialect::kOpenAi, 400, "the request body is not a JSON object");
  }
  if (path == "/admin/health") return AdminHealth(body);
  if (path == "/admin/listen") return AdminListen(body, origin);
  return ErrorAnswer(Dialect::kOpenAi, 404, "there is nothing at this path");
}

Answer Service::AdminFaults(const Request& request) {
  if (request.method == "DELETE") {
    faults_.Clear();
    return MakeAnswer(204, "", "");
  }
  if (request.method == "POST") {
    const Json body = ParseJson(request.body);
    FaultQueue::Entry entry;
    absl::StatusOr<FaultPlan> plan =
        absl::InvalidArgumentError("spec has to be a text or a list of texts");
    if (const Json* spec = Field(body, "spec"); spec != nullptr && spec->is_string()) {
      entry.spec = StringField(body, "spec", "");
      plan = ParseFaults(entry.spec);
    } else if (spec != nullptr && spec->is_array()) {
      std::vector<std::string> clauses;
      for (const Json& clause : *spec) {
        if (clause.is_string()) clauses.push_back(clause.get<std::string>());
      }
      entry.spec = Dump(*spec);
      if (clauses.size() == spec->size()) plan = ParseFaults(clauses);
    }
    if (!plan.ok()) return ErrorAnswer(Dialect::kOpenAi, 400, std::string(plan.status().message()));
    entry.plan = *std::move(plan);
    entry.count = IntField(body, "count", 1);
    entry.path = StringField(body, "path", "");
    if (entry.count != 0) faults_.Add(std::move(entry));
  } else if (request.method != "GET") {
    return NotAllowed("GET, POST, DELETE");
  }
  Json list = Json::array();
  for (const FaultQueue::Entry& entry : faults_.entries()) {
    list.push_back({{"spec", entry.spec}, {"count", entry.count}, {"path", entry.path}});
  }
  return JsonAnswer(200, {{"faults", std::move(list)}});
}

Answer Service::AdminHealth(const Json& body) {
  const int64_t status = IntField(body, "status", 0);
  const bool stalls = StringField(body, "status", "") == "stall";
  if (!stalls && status != 200 && status != 503) {
    return ErrorAnswer(Dialect::kOpenAi, 400, "status has to be 200, 503 or \"stall\"");
  }
  health_ = stalls ? Health::kStall : status == 200 ? Health::kOk : Health::kUnavailable;
  return MakeAnswer(204, "", "");
}

Answer Service::AdminListen(const Json& body, const Origin& origin) {
  const Json* open = Field(body, "open");
  if (open == nullptr || !open->is_boolean()) {
    return ErrorAnswer(Dialect::kOpenAi, 400, "open has to be true or false");
  }
  const std::string existing = StringField(body, "connections", "keep");
  if (existing != "keep" && existing != "close" && existing != "reset") {
    return ErrorAnswer(Dialect::kOpenAi, 400, "connections has to be keep, close or reset");
  }
  if (!origin.is_admin && (!open->get<bool>() || existing != "keep")) {
    return ErrorAnswer(Dialect::kOpenAi, 409,
                       "only the admin address may do that: it would close its own connection");
  }
  const Connections connections = existing == "keep"    ? Connections::kKeep
                                  : existing == "close" ? Connections::kClose
                                                        : Connections::kReset;
  if (absl::Status status = set_listening_(open->get<bool>(), connections); !status.ok()) {
    return ErrorAnswer(Dialect::kOpenAi, 500, std::string(status.message()));
  }
  return MakeAnswer(204, "", "");
}

}  // namespace outrigger::mock_ai
