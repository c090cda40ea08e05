// A worker with a retry filter, for the tests of the filter.

#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <utility>

#include "filters/retry/retry_filter.h"
#include "tests/proxy/metrics/scrape.h"
#include "tests/support/fake_loop.h"
#include "tests/support/scripted_next.h"

namespace outrigger::retry {

struct RetryWorkerOptions {
  RetryPolicy policy;
  // By default one that never binds.
  BudgetPolicy budget = {.ratio = 0, .floor = 1'000'000, .window = absl::Seconds(10)};
  common::DecideOptions decide;
  size_t memory_bytes = size_t{1} << 30;
  size_t pool_bytes = size_t{16} << 20;
  uint64_t seed = 1;
};

struct RetryWorker {
  explicit RetryWorker(RetryWorkerOptions options = {})
      : random(options.seed),
        memory(options.memory_bytes),
        pool(std::make_shared<MemoryBudget>(options.pool_bytes)),
        budget(std::make_shared<RetryBudget>(options.budget)),
        filter(options.policy, options.decide,
               {loop, random, metrics, standard, log, memory, budget, pool}) {}
  ~RetryWorker() { std::fclose(log_file); }

  double Retries(const std::string& cause, const std::string& result) {
    return metrics::CounterValue(registry, "outrigger_retries_total", {cause, result}).value_or(0);
  }
  std::string Logged() {
    logs.Flush(absl::Seconds(10));
    std::string text(1 << 16, '\0');
    std::rewind(log_file);
    text.resize(std::fread(text.data(), 1, text.size(), log_file));
    return text;
  }

  FakeLoop loop;
  Random random;
  metrics::Registry registry;
  metrics::StandardMetrics standard{registry};
  metrics::WorkerMetrics& metrics = registry.AddWorker();
  std::FILE* log_file = std::tmpfile();
  log::LogService logs{{.fd = fileno(log_file)}};
  log::Logger& log = logs.NewLogger();
  MemoryBudget memory;
  std::shared_ptr<MemoryBudget> pool;
  std::shared_ptr<RetryBudget> budget;
  RetryFilter filter;
  ScriptedNext next{loop};
};

inline std::string AnswerHeader(const FilterRun& run, std::string_view name) {
  return std::string(run.request.response_headers.Get(name).value_or(""));
}

}  // namespace outrigger::retry
