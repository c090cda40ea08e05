// mock-ai: an AI service to try a proxy on. See README.md.

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "CLI/CLI.hpp"
#include "tools/mock-ai/faults.h"
#include "tools/mock-ai/kserve_server.h"
#include "tools/mock-ai/server.h"

namespace {

using outrigger::mock_ai::KserveServer;
using outrigger::mock_ai::ParseDuration;
using outrigger::mock_ai::Server;
using outrigger::mock_ai::ServerOptions;

void AddDuration(CLI::App& app, const std::string& name, absl::Duration& value,
                 const std::string& help) {
  app.add_option_function<std::string>(
         name,
         [&value](const std::string& text) {
           absl::StatusOr<absl::Duration> parsed = ParseDuration(text);
           if (!parsed.ok()) throw CLI::ValidationError(std::string(parsed.status().message()));
           value = *parsed;
         },
         help)
      ->type_name("DURATION")
      ->default_str(absl::FormatDuration(value));
}

void PrintLine(const char* what, const std::string& value) {
  std::printf("%s%s\n", what, value.c_str());
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  ServerOptions options;
  options.stops_on_signals = true;
  auto& service = options.service;
  auto& connections = options.connections;
  std::string grpc_listen;
  bool prints_ledger = false;

  CLI::App app("An AI service without a model, to try a proxy on and to test it with.", "mock-ai");
  app.option_defaults()->always_capture_default();
  app.add_option("--listen", options.listen, "host:port (port 0: any) or unix:/path");
  app.add_option("--admin", options.admin, "a second address, for the admin endpoints");
  app.add_option("--grpc", grpc_listen, "host:port for KServe v2 over gRPC (port 0: any)");
  app.add_option("--seed", service.seed, "seed of words and times");
  AddDuration(app, "--ttft", service.tokens.ttft, "mean time to the first token");
  AddDuration(app, "--itl", service.tokens.itl, "mean time between two tokens");
  app.add_option("--jitter", service.tokens.jitter, "spread of both times; 0: exact")
      ->check(CLI::Range(0.0, 3.0));
  app.add_option("--tokens", service.tokens.tokens, "tokens of an answer")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  app.add_option("--load-factor", service.load_factor,
                 "times grow by this part for each execution in flight")
      ->check(CLI::Range(0.0, 1000.0));
  app.add_option("--dimensions", service.embedding_dimensions, "numbers in an embedding")
      ->check(CLI::Range(int64_t{1}, int64_t{65536}));
  app.add_option("--model", service.models, "names in /v1/models, may be repeated");
  app.add_option("--ledger-ids", service.ledger_ids, "ids that the ledger remembers")
      ->check(CLI::Range(size_t{1}, size_t{100'000'000}));
  AddDuration(app, "--keepalive-idle", connections.keepalive_idle,
              "idle connections are closed after this time");
  AddDuration(app, "--read-timeout", connections.read_timeout, "for one request to arrive");
  app.add_flag("--advertise-keepalive", connections.advertises_keepalive,
               "send Keep-Alive: timeout=N");
  app.add_option("--max-body", connections.limits.body_bytes, "bytes of a request body");
  app.add_flag("--print-ledger-on-exit", prints_ledger, "one line of JSON on stdout");
  app.add_flag("--graceful", options.finishes_on_signals,
               "let what executes finish after SIGTERM or SIGINT; a second one ends at once");
  CLI11_PARSE(app, argc, argv);

  absl::StatusOr<std::unique_ptr<Server>> server = Server::Create(std::move(options));
  if (!server.ok()) {
    std::fprintf(stderr, "mock-ai: %s\n", std::string(server.status().message()).c_str());
    return 1;
  }
  PrintLine("listening on ", (*server)->listen_address());
  if (!(*server)->admin_address().empty()) PrintLine("admin on ", (*server)->admin_address());
  std::unique_ptr<KserveServer> kserve;
  if (!grpc_listen.empty()) {
    absl::StatusOr<std::unique_ptr<KserveServer>> started =
        KserveServer::Start(grpc_listen, **server);
    if (!started.ok()) {
      std::fprintf(stderr, "mock-ai: %s\n", std::string(started.status().message()).c_str());
      return 1;
    }
    kserve = *std::move(started);
    PrintLine("grpc on ", kserve->address());
  }
  (*server)->Run();
  kserve.reset();
  if (prints_ledger) PrintLine("ledger ", (*server)->LedgerText());
  return 0;
}
