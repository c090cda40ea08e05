// Callers on two workers with real loops: what the fake loop cannot show.

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "filters/common/commit_gate.h"
#include "filters/idempotency/idempotency_filter.h"
#include "proxy/event/event_loop.h"
#include "tests/filters/idempotency/filter_support.h"

namespace outrigger::idempotency {
namespace {

// What both workers share; one service, which counts its executions.
struct Shared {
  MemoryBudget budget{size_t{48} << 20};
  KeyTable keys{{.budget = &budget}};
  const StoreKeyMaker key_maker{"secret"};
  metrics::Registry registry;
  metrics::StandardMetrics standard_metrics{registry};
  DetachedCount detached;
  std::atomic<int> executions{0};
  std::atomic<int> unfinished{0};
  ScriptedResponse answer;
};

class Service final : public chain::Filter {
 public:
  Service(Loop& loop, Shared& shared) : script_(loop), shared_(shared) {
    script_.RespondAlways(shared.answer);
  }
  Task<http::Result> Call(http::Request& request, chain::Next next) override {
    shared_.executions.fetch_add(1);
    return script_.Call(request, next);
  }

 private:
  ScriptedNext script_;
  Shared& shared_;
};

struct Worker;

struct ThreadCaller {
  explicit ThreadCaller(Worker& owner) : worker(owner) { request.arena = &arena; }
  Task<void> Run();

  Worker& worker;
  Arena arena;
  http::Request request;
  std::optional<http::Response> response;
  std::string body;
  http::Reason failure = http::Reason::kNone;
  Task<void> task;
};

struct Worker {
  explicit Worker(Shared& parts)
      : shared(parts),
        metrics(parts.registry.AddWorker()),
        runtime(loop, parts.detached),
        filter({.execution = {.loop = loop,
                              .runtime = runtime,
                              .budget = parts.budget,
                              .metrics = metrics,
                              .standard_metrics = parts.standard_metrics},
                .keys = parts.keys,
                .key_maker = parts.key_maker},
               {}),
        gate(loop, common::StreamGrammar::kOpenAi, nullptr),
        service(loop, parts) {
    chain.push_back(std::make_unique<Borrowed>(filter));
    chain.push_back(std::make_unique<Borrowed>(gate));
    chain.push_back(std::make_unique<Borrowed>(service));
  }

  void AddCaller() {
    callers.push_back(std::make_unique<ThreadCaller>(*this));
    http::Request& request = callers.back()->request;
    request.method = http::Method::kPost;
    request.method_name = "POST";
    request.target = request.path = "/v1/chat/completions";
    request.tenant = "anonymous";
    request.id = "id";
    request.effects = http::Effects::kNone;
    request.headers.Add("Idempotency-Key", "storm");
    request.body = std::make_unique<WholeBody>("{\"stream\":true}");
  }

  void Start() {
    thread = std::thread([this] {
      for (const std::unique_ptr<ThreadCaller>& caller : callers) {
        loop.Post([&caller = *caller] {
          caller.task = caller.Run();
          caller.task.Start();
        });
      }
      loop.Run();
    });
  }
  // On this thread, when the loop has stopped.
  void Clear() {
    callers.clear();
    loop.RunPending();
  }

  Shared& shared;
  EventLoop loop;
  metrics::WorkerMetrics& metrics;
  ExecutionRuntime runtime;
  IdempotencyFilter filter;
  common::CommitGate gate;
  Service service;
  chain::FilterList chain;
  std::vector<std::unique_ptr<ThreadCaller>> callers;
  std::thread thread;
};

Task<void> ThreadCaller::Run() {
  http::Result result = co_await chain::Next(worker.chain.data())(request);
  if (result.ok()) {
    response.emplace(std::move(result).value());
    while (response->has_body) {
      http::ChunkResult chunk = co_await response->body->Read();
      if (!chunk.ok()) {
        failure = chunk.error().reason;
        break;
      }
      body += chunk->data;
      if (chunk->is_last) break;
    }
  } else {
    failure = result.error().reason;
  }
  worker.shared.unfinished.fetch_sub(1);
}

void StormWith(const ScriptedResponse& answer, const std::string& whole) {
  constexpr int kCallersPerWorker = 500;
  Shared shared;
  shared.answer = answer;
  shared.unfinished = 2 * kCallersPerWorker;
  Worker workers[] = {Worker(shared), Worker(shared)};
  for (Worker& worker : workers) {
    for (int i = 0; i < kCallersPerWorker; ++i) worker.AddCaller();
  }
  for (Worker& worker : workers) worker.Start();
  while (shared.unfinished.load() > 0) std::this_thread::yield();
  for (Worker& worker : workers) {
    worker.loop.Stop();
    worker.thread.join();
  }
  EXPECT_EQ(shared.executions.load(), 1);
  for (Worker& worker : workers) {
    for (const std::unique_ptr<ThreadCaller>& caller : worker.callers) {
      ASSERT_EQ(caller->failure, http::Reason::kNone);
      ASSERT_TRUE(caller->response.has_value());
      ASSERT_EQ(caller->response->status, 200);
      ASSERT_TRUE(caller->body == whole) << caller->body.size() << " of " << whole.size();
    }
  }
  for (Worker& worker : workers) worker.Clear();
  EXPECT_TRUE(IsConserved(shared.keys.Stats()));
  EXPECT_EQ(CountOf(shared.keys.Stats(), State::kDone), 1u);
}

TEST(IdempotencyStorm, RunsAUnaryRequestOnceForAThousandCallersOnTwoWorkers) {
  std::string body;
  for (int i = 0; i < 5000; ++i) body += std::to_string(i) + " ";
  StormWith({.status = 200, .body = {{body}}, .delay = absl::Milliseconds(5)}, body);
}

TEST(IdempotencyStorm, StreamsOneAnswerToAThousandCallersOnTwoWorkers) {
  std::vector<BodyStep> events;
  std::string whole;
  for (int i = 0; i < 40; ++i) {
    events.push_back(
        {"data: {\"choices\":[{\"delta\":{\"content\":\"" + std::to_string(i) + "\"}}]}\n\n",
         absl::Milliseconds(1)});
    whole += events.back().data;
  }
  events.push_back({"data: [DONE]\n\n", absl::Milliseconds(1)});
  whole += events.back().data;
  StormWith({.status = 200,
             .headers = {{"Content-Type", "text/event-stream"}},
             .body = events,
             .delay = absl::Milliseconds(5)},
            whole);
}

}  // namespace
}  // namespace outrigger::idempotency
