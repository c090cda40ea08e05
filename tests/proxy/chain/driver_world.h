// A worker without sockets: the real stream driver and the real chain, built from a configuration,
// on a clock that the test moves, between a fake client and a scripted service.
//
//   DriverWorld world("filters: [retry: {}]");
//   world.service.Answer({.pieces = {"hello"}});
//   FakeExchange exchange(world, {.path = "/x"});
//   exchange.Start();
//   world.loop.Advance(absl::Milliseconds(10));
//   EXPECT_EQ(exchange.stream.body(), "hello");
//
// One thread. Exchanges go before their world.

#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nlohmann/json.hpp"
#include "proxy/chain/chain_builder.h"
#include "proxy/chain/stream_driver.h"
#include "tests/proxy/chain/fake_stream.h"
#include "tests/proxy/chain/scripted_service.h"
#include "tests/proxy/metrics/scrape.h"
#include "tests/support/fake_loop.h"

namespace outrigger::chain {

class DriverWorld {
 public:
  explicit DriverWorld(std::string_view yaml) { Reload(yaml); }
  ~DriverWorld() {
    snapshot = nullptr;
    loop.RunPending();
    std::fclose(log_file);
  }
  DriverWorld(const DriverWorld&) = delete;
  DriverWorld& operator=(const DriverWorld&) = delete;

  // As a worker does: for streams that begin from now on.
  void Reload(std::string_view yaml) {
    Expected<config::Config, config::ConfigErrors> parsed = config::Parse(yaml, "test");
    if (!parsed.ok()) {
      std::fprintf(stderr, "%s\n", parsed.error().ToString().c_str());
      std::abort();
    }
    config = std::make_shared<const config::Config>(std::move(parsed).value());
    shared.BeginConfiguration({});
    snapshot = ReleasedByLoop(loop, BuildChains(config, {.loop = loop,
                                                         .timeouts = timeouts,
                                                         .random = random,
                                                         .metrics = metrics,
                                                         .standard_metrics = standard,
                                                         .log = log,
                                                         .shared = shared,
                                                         .executions = executions,
                                                         .new_router = [this](const std::string&) {
                                                           return service.NewEnd();
                                                         }}));
  }

  // The lines of the access log.
  std::vector<nlohmann::json> AccessLog() {
    logs.Flush(absl::Seconds(10));
    std::rewind(log_file);
    std::vector<nlohmann::json> lines;
    for (char line[4096]; std::fgets(line, sizeof line, log_file) != nullptr;) {
      nlohmann::json event = nlohmann::json::parse(line);
      if (event["event"] == "request") lines.push_back(std::move(event));
    }
    return lines;
  }
  double Counter(const std::string& name, const std::vector<std::string>& labels) {
    return metrics::CounterValue(registry, name, labels).value_or(0);
  }
  double Requests(const std::string& route, const std::string& code_class,
                  const std::string& reason) {
    return Counter("outrigger_requests_total", {route, code_class, reason});
  }
  double InFlight() {
    return metrics::GaugeValue(registry, "outrigger_in_flight_requests").value_or(0);
  }

  Journal journal;
  FakeLoop loop;
  Random random{1};
  metrics::Registry registry;
  metrics::StandardMetrics standard{registry};
  metrics::WorkerMetrics& metrics = registry.AddWorker();
  std::FILE* const log_file = std::tmpfile();
  log::LogService logs{{.fd = fileno(log_file)}};
  log::Logger& log = logs.NewLogger();
  SharedState shared{{.seed = 1, .clock = [this] { return loop.Now(); }}};
  IdentityMaker identity{random};
  DeadlineQueues timeouts{loop};
  ScriptedService service{loop, journal};
  std::shared_ptr<const config::Config> config;
  std::shared_ptr<const ChainSnapshot> snapshot;
  // As in a worker: ends before what the chains use.
  idempotency::ExecutionRuntime executions{loop, shared.detached_executions()};
  bool is_draining = false;
  bool refuses_requests = false;
  std::atomic<int64_t> active_requests{0};
  DriverContext context{.loop = loop,
                        .metrics = metrics,
                        .standard_metrics = standard,
                        .log = log,
                        .identity = identity,
                        .budget = shared.memory(),
                        .snapshot = snapshot,
                        .via_name = "outrigger",
                        .is_draining = is_draining,
                        .refuses_requests = refuses_requests,
                        .active_requests = active_requests};
};

struct FakeRequest {
  http::Method method = http::Method::kPost;
  std::string path = "/v1/chat/completions";  // a preset: may run twice, events of OpenAI
  std::vector<std::pair<std::string, std::string>> headers;
  // Received piece by piece, each after a millisecond; empty: none.
  std::vector<std::string> pieces;
  bool is_whole = false;  // the body was received together with the head
  bool takes = true;      // the client reads its answer
  bool is_grpc = false;   // a call, as the codec of HTTP/2 recognises it
  std::string_view upgrade = {};
};

class FakeExchange {
 public:
  FakeExchange(DriverWorld& world, FakeRequest request)
      : stream(world.loop, world.journal), world_(world), given_(std::move(request)) {
    stream.SetTaking(given_.takes);
  }
  ~FakeExchange() { End(); }
  FakeExchange(const FakeExchange&) = delete;
  FakeExchange& operator=(const FakeExchange&) = delete;

  // What the codec does when a head is complete.
  void Start() {
    driver_ = std::make_unique<StreamDriver>(world_.context);
    http::Request& request = driver_->request();
    request.method = given_.method;
    request.method_name = http::MethodName(given_.method);
    request.target = given_.path;
    request.authority = "test";
    request.informational = &stream;
    request.is_grpc = given_.is_grpc;
    if (given_.is_grpc) request.protocol = http::Protocol::kHttp2;
    request.upgrade = given_.upgrade;
    for (const auto& [name, value] : given_.headers) request.headers.Add(name, value);
    if (!given_.pieces.empty()) request.body = std::make_unique<ClientBody>(world_.loop, given_);
    driver_->Start(stream);
  }
  // The client is gone: what the codec does, from the loop.
  void Leave() {
    if (driver_ == nullptr) return;
    if (!stream.is_over()) driver_->OnClientGone();
    driver_.reset();
  }
  void Shutdown() { driver_->OnShutdown(); }
  // The answer is finished, or nobody cares: from the loop.
  void End() { driver_.reset(); }
  bool has_driver() const { return driver_ != nullptr; }

  FakeStream stream;

 private:
  class ClientBody final : public http::Body {
   public:
    ClientBody(Loop& loop, const FakeRequest& request) : loop_(loop), request_(request) {}
    Task<http::ChunkResult> Read() override {
      if (!request_.is_whole) co_await loop_.Sleep(absl::Milliseconds(1));
      const std::string_view data = request_.pieces[next_++];
      co_return http::Chunk{data, next_ == request_.pieces.size()};
    }
    std::optional<std::string_view> Peek() const override {
      if (request_.is_whole && next_ == 0) return request_.pieces.front();
      return std::nullopt;
    }

   private:
    Loop& loop_;
    const FakeRequest& request_;
    size_t next_ = 0;
  };

  DriverWorld& world_;
  const FakeRequest given_;
  std::unique_ptr<StreamDriver> driver_;
};

}  // namespace outrigger::chain
