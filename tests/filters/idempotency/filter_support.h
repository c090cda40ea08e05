// What the tests of the filter share: one worker's worth of parts around it, and callers that read
// their answers as a stream driver would.
//
//   FilterBench bench({.effects = http::Effects::kUnsafe});
//   bench.next.Respond({.status = 200, .body = {{"hello"}}});
//   Caller first(bench, {.key = "k"});
//   bench.loop.RunPending();
//   EXPECT_EQ(first.body(), "hello");
//
// A chain is the filter, the commit gate and the script. Callers must go before their bench.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "filters/common/commit_gate.h"
#include "filters/idempotency/idempotency_filter.h"
#include "proxy/event/signal.h"
#include "tests/filters/idempotency/table_support.h"
#include "tests/support/fake_loop.h"
#include "tests/support/scripted_next.h"

namespace outrigger::idempotency {

class Borrowed final : public chain::Filter {
 public:
  explicit Borrowed(chain::Filter& filter) : filter_(filter) {}
  Task<http::Result> Call(http::Request& request, chain::Next next) override {
    return filter_.Call(request, next);
  }

 private:
  chain::Filter& filter_;
};

struct BenchOptions {
  IdempotencyPolicy policy;
  common::DecideOptions decide;
  TableLimits limits;
  http::Effects effects = http::Effects::kNone;
  absl::Duration max_stream = absl::Hours(1);
  size_t memory_bytes = size_t{48} << 20;
  std::function<absl::Duration(const http::Request&)> replay_wait = nullptr;
};

class FilterBench {
 public:
  explicit FilterBench(const BenchOptions& given = {})
      : options(given),
        budget(given.memory_bytes),
        keys({.limits = given.limits,
              .budget = &budget,
              .audit = &audit,
              .clock = [this] { return loop.Now(); }}),
        metrics(registry.AddWorker()),
        standard_metrics(registry),
        runtime(loop, detached),
        next(loop),
        filter({.execution = {.loop = loop,
                              .runtime = runtime,
                              .budget = budget,
                              .metrics = metrics,
                              .standard_metrics = standard_metrics},
                .keys = keys,
                .key_maker = key_maker,
                .replay_wait = given.replay_wait},
               {.execution = {.keys = given.policy, .decide = given.decide},
                .max_stream = given.max_stream}),
        gate(loop, common::StreamGrammar::kOpenAi, nullptr) {
    chain.push_back(std::make_unique<Borrowed>(filter));
    chain.push_back(std::make_unique<Borrowed>(gate));
    chain.push_back(std::make_unique<Borrowed>(next));
  }

  // What waits for its deletion goes before what it counts against.
  ~FilterBench() { loop.RunPending(); }

  size_t Keys(State state) const { return CountOf(keys.Stats(), state); }
  // Nothing is left of any request: no execution, timer, attempt or body.
  bool IsQuiet() {
    loop.RunPending();
    return runtime.running() == 0 && detached.count() == 0 && loop.armed_timers() == 0 &&
           next.live_calls() == 0 && next.live_bodies() == 0 && live_request_bodies == 0 &&
           IsConserved(keys.Stats());
  }

  const BenchOptions options;
  int live_request_bodies = 0;  // of those that are received piece by piece
  FakeLoop loop;
  MemoryBudget budget;
  CollectingAudit audit;
  KeyTable keys;
  const StoreKeyMaker key_maker{"secret"};
  metrics::Registry registry;
  metrics::WorkerMetrics& metrics;
  metrics::StandardMetrics standard_metrics;
  DetachedCount detached;
  ExecutionRuntime runtime;
  ScriptedNext next;
  IdempotencyFilter filter;
  common::CommitGate gate;
  chain::FilterList chain;
};

// A body that is in memory as a whole.
class WholeBody final : public http::Body {
 public:
  explicit WholeBody(std::string bytes) : bytes_(std::move(bytes)) {}
  Task<http::ChunkResult> Read() override { co_return http::Chunk{bytes_, true}; }
  std::optional<std::string_view> Peek() const override { return bytes_; }

 private:
  const std::string bytes_;
};

struct CallerOptions {
  std::string key = "k";  // empty: none
  std::string body = "{}";
  // In place of `body`: received piece by piece.
  std::vector<BodyStep> received;
  bool body_ends = true;
  std::optional<uint64_t> body_length = std::nullopt;  // as the head states it
  // In place of both.
  std::function<std::unique_ptr<http::Body>()> make_body = nullptr;
  std::string target = "/v1/test";
  std::string content_type = "application/json";
  std::string tenant = "anonymous";
  http::Method method = http::Method::kPost;
  absl::Duration timeout = absl::Seconds(300);
  bool reads = true;  // the body of the answer, as it comes
};

class Caller {
 public:
  Caller(FilterBench& bench, CallerOptions options)
      : bench_(bench),
        options_(std::move(options)),
        resumed_(bench.loop),
        deadline_(bench.loop, *this),
        reads_(options_.reads) {
    request.arena = &arena_;
    request.method = options_.method;
    request.method_name = MethodName(options_.method);
    request.target = request.path = options_.target;
    request.authority = "test";
    request.tenant = options_.tenant;
    request.id = "test-request";
    request.effects = bench.options.effects;
    request.received = bench.loop.PreciseNow();
    request.deadline = bench.loop.Now() + options_.timeout;
    request.headers.Add("Content-Type", options_.content_type);
    if (!options_.key.empty()) request.headers.Add("Idempotency-Key", options_.key);
    request.body_length = options_.body_length;
    if (options_.make_body != nullptr) {
      request.body = options_.make_body();
    } else if (options_.received.empty()) {
      request.body = std::make_unique<WholeBody>(options_.body);
    } else {
      request.body = std::make_unique<ScriptedBody>(bench.loop, options_.received,
                                                    options_.body_ends, bench.live_request_bodies);
    }
    deadline_.Arm(request.deadline);
    task_ = Run();
    task_.Start();
  }
  ~Caller() { Leave(); }

  // As the driver does when the client is gone or the deadline has passed.
  void Leave() {
    deadline_.Disarm();
    task_.Reset();
    response_.reset();
    request.body.reset();
  }
  void Resume() {
    reads_ = true;
    resumed_.Notify();
  }
  // Takes one chunk more.
  void TakeOne() {
    ++credit_;
    resumed_.Notify();
  }

  bool has_head() const { return response_.has_value(); }
  http::Response& response() { return *response_; }
  bool is_done() const { return is_done_; }
  int status() const { return response_.has_value() ? response_->status : 0; }
  const std::optional<http::Failure>& failure() const { return failure_; }
  http::Reason reason() const { return failure_ ? failure_->reason : http::Reason::kNone; }
  const std::string& body() const { return body_; }
  const std::optional<http::Failure>& body_failure() const { return body_failure_; }
  const std::string& trailers() const { return trailers_; }

  // Of the answer's head: the response's own fields, then those that the driver adds.
  std::string Field(std::string_view name) const {
    if (response_.has_value()) {
      const auto value = response_->headers.Get(name);
      if (value.has_value()) return std::string(*value);
    }
    return std::string(request.response_headers.Get(name).value_or(""));
  }
  std::string Outcome() const { return Field("x-outrigger-idempotency"); }

  http::Request request;

 private:
  class Deadline final : public Timer {
   public:
    Deadline(Loop& loop, Caller& caller) : Timer(loop), caller_(caller) {}
    void OnTimer() override {
      caller_.Leave();
      caller_.failure_ = http::Failure{.reason = http::Reason::kDeadline};
    }

   private:
    Caller& caller_;
  };

  Task<void> Run() {
    http::Result result = co_await chain::Next(bench_.chain.data())(request);
    if (!result.ok()) {
      failure_ = result.error();
      Finish();
      co_return;
    }
    response_.emplace(std::move(result).value());
    if (response_->stream != nullptr) {
      deadline_.Arm(bench_.loop.Now() + bench_.options.max_stream);
    }
    while (response_->has_body) {
      while (!reads_ && credit_ == 0) co_await resumed_.Wait();
      if (!reads_) --credit_;
      http::ChunkResult chunk = co_await response_->body->Read();
      if (!chunk.ok()) {
        body_failure_ = chunk.error();
        break;
      }
      body_ += chunk->data;
      if (!chunk->is_last) continue;
      if (const http::HeaderList* trailers = response_->body->trailers()) {
        for (const http::HeaderField& field : *trailers) {
          trailers_ += std::string(field.name) + ": " + std::string(field.value) + "\n";
        }
      }
      break;
    }
    Finish();
  }
  void Finish() {
    is_done_ = true;
    deadline_.Disarm();
  }

  FilterBench& bench_;
  const CallerOptions options_;
  Arena arena_;
  Signal resumed_;
  Deadline deadline_;
  std::optional<http::Response> response_;
  std::optional<http::Failure> failure_;
  std::optional<http::Failure> body_failure_;
  std::string body_;
  std::string trailers_;
  int credit_ = 0;
  bool reads_;
  bool is_done_ = false;
  Task<void> task_;
};

}  // namespace outrigger::idempotency
