// bench-load: sends load to one address and prints what it saw as one line of JSON.
//
//   bench-load --target 127.0.0.1:8000 --mode closed --connections 32 --seconds 2
//   bench-load --target 127.0.0.1:8000 --mode open --rate 5000 --connections 64 --seconds 3
//   bench-load --target 127.0.0.1:8000 --mode sse --streams 200 --events 100 --interval-us 20000
//   bench-load --target 127.0.0.1:8000 --mode idle --connections 1000
//
//   --requests N        ends a closed loop after N requests   --warm-requests N  before measuring
//   --method --path --body-bytes --authorization --head browser|bare      what to send
//   --key-unique        a new Idempotency-Key in each request, of --key-seed
//   --account-pids A,B  also report the CPU time these processes used in the measured part
//
// Mode idle sends one request on each connection, prints its line, and holds the connections until
// SIGTERM or SIGINT; then it prints how many the peer closed.

#include <string>

#include "tools/bench/cpu_account.h"
#include "tools/bench/flags.h"
#include "tools/bench/http_load.h"
#include "tools/bench/json_line.h"
#include "tools/bench/net.h"
#include "tools/bench/sse_load.h"

namespace outrigger::bench {
namespace {

RequestOptions ReadRequest(Flags& flags) {
  RequestOptions request;
  request.method = flags.Text("method", "GET");
  request.path = flags.Text("path", "/");
  request.is_bare = flags.Text("head", "browser") == "bare";
  request.body_bytes = static_cast<size_t>(flags.Int("body-bytes", 0));
  request.authorization = flags.Text("authorization", "");
  request.has_unique_key = flags.Switch("key-unique");
  request.key_seed = static_cast<uint64_t>(flags.Int("key-seed", NowNanos()));
  return request;
}

HttpLoadOptions ReadHttp(Flags& flags) {
  HttpLoadOptions options;
  options.target = flags.Address("target", "");
  options.request = ReadRequest(flags);
  options.has_tls = flags.Int("tls", 0) != 0;
  options.connections = static_cast<uint64_t>(flags.Int("connections", 32));
  options.warm_requests = static_cast<uint64_t>(flags.Int("warm-requests", 0));
  options.requests = static_cast<uint64_t>(flags.Int("requests", 0));
  options.duration_ns = static_cast<int64_t>(flags.Real("seconds", 0) * 1e9);
  options.rate = flags.Real("rate", 0);
  return options;
}

void Print(const std::string& mode, const HttpLoadResult& result, int64_t cpu_ns,
           std::string_view last_key) {
  const double seconds = static_cast<double>(result.elapsed_ns) / 1e9;
  JsonLine()
      .Add("mode", mode)
      .Add("completed", result.completed)
      .Add("non_2xx", result.non_2xx)
      .Add("errors", result.errors)
      .Add("reconnects", result.reconnects)
      .Add("late_sends", result.late_sends)
      .Add("body_bytes", result.body_bytes)
      .Add("seconds", seconds)
      .Add("rps", static_cast<double>(result.completed) / seconds)
      .Add("p50_ns", result.latency.Percentile(0.50))
      .Add("p99_ns", result.latency.Percentile(0.99))
      .Add("max_ns", result.latency.max())
      .Add("cpu_ns", cpu_ns)
      .Add("last_key", last_key)
      .Print();
}

void RunHttp(const std::string& mode, Flags& flags, const CpuAccount& account) {
  const HttpLoadOptions options = ReadHttp(flags);
  flags.RefuseUnknown();
  const bool is_open = mode == "open";
  if (is_open ? options.rate <= 0 || options.duration_ns <= 0
              : options.requests == 0 && options.duration_ns <= 0) {
    Die(is_open ? "mode open needs --rate and --seconds"
                : "mode closed needs --seconds or --requests");
  }
  HttpLoad load(options);
  load.Warm();
  const int64_t before = account.Nanos();
  const HttpLoadResult result = is_open ? load.RunOpen() : load.RunClosed();
  Print(mode, result, account.Nanos() - before, load.last_key());
}

void RunIdle(Flags& flags, const CpuAccount& account) {
  HttpLoadOptions options = ReadHttp(flags);
  flags.RefuseUnknown();
  // Idle connections are taken in turn, so this is one request on each.
  options.requests = options.connections;
  // As in the measured loops, so that opening them does not swell the proxy's pools.
  options.max_in_flight = 32;
  HttpLoad load(options);
  load.Warm();
  const int64_t before = account.Nanos();
  const HttpLoadResult result = load.RunClosed();
  Print("idle", result, account.Nanos() - before, load.last_key());
  JsonLine().Add("closed_by_peer", load.Idle()).Print();
}

void RunSse(Flags& flags, const CpuAccount& account) {
  SseLoadOptions options;
  options.target = flags.Address("target", "");
  options.request = ReadRequest(flags);
  options.streams = static_cast<uint64_t>(flags.Int("streams", 200));
  options.events = static_cast<uint64_t>(flags.Int("events", 100));
  options.request.path = "/sse?events=" + std::to_string(options.events) +
                         "&interval_us=" + std::to_string(flags.Int("interval-us", 20'000));
  flags.RefuseUnknown();
  const SseLoadResult result = RunSseLoad(options, account);
  JsonLine()
      .Add("mode", "sse")
      .Add("completed", result.events)
      .Add("non_2xx", result.non_2xx)
      .Add("errors", result.errors)
      .Add("lost", result.lost)
      .Add("total_events", result.total_events)
      .Add("seconds", static_cast<double>(result.window_ns) / 1e9)
      .Add("p50_ns", result.delay.Percentile(0.50))
      .Add("p99_ns", result.delay.Percentile(0.99))
      .Add("max_ns", result.delay.max())
      .Add("cpu_ns", result.cpu_ns)
      .Print();
}

void Main(Flags& flags) {
  const std::string mode = flags.Text("mode", "closed");
  const CpuAccount account = CpuAccount::FromList(flags.Text("account-pids", ""));
  if (mode == "sse") {
    RunSse(flags, account);
  } else if (mode == "idle") {
    RunIdle(flags, account);
  } else if (mode == "closed" || mode == "open") {
    RunHttp(mode, flags, account);
  } else {
    Die("--mode: closed, open, sse or idle, not '" + mode + "'");
  }
}

}  // namespace
}  // namespace outrigger::bench

int main(int argc, char** argv) {
  outrigger::bench::Flags flags(argc, argv);
  outrigger::bench::RaiseFileLimit();
  outrigger::bench::InstallStopSignals();
  outrigger::bench::Main(flags);
  return 0;
}
