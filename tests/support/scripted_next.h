// The rest of the chain, as a test wants it: each call of the filter under test takes the next step
// of a script.
//
//   ScriptedNext next(loop);
//   next.Respond({.status = 503});
//   next.Respond({.status = 200, .body = {"hello"}});
//   FilterRun run(loop, std::make_unique<RetryFilter>(...), next);
//   run.Start();
//   loop.Advance(absl::Seconds(1));
//   ASSERT_TRUE(run.is_done());  EXPECT_EQ(run.result()->status, 200);
//
// One thread. The script counts what is alive, so that a test can see that nothing leaks when the
// filter's task is dropped at a wait.

#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "proxy/chain/filter.h"
#include "proxy/event/loop.h"

namespace outrigger {

// One step of a scripted body.
struct BodyStep {
  std::string data;
  absl::Duration delay = absl::ZeroDuration();  // before it
  std::optional<http::Failure> failure;         // in its place
};

struct ScriptedResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<BodyStep> body;                   // empty: no body
  absl::Duration delay = absl::ZeroDuration();  // before the head
  // Ended by the last step unless false: then the body hangs for ever.
  bool ends = true;
};

class ScriptedBody final : public http::Body {
 public:
  ScriptedBody(Loop& loop, std::vector<BodyStep> steps, bool ends, int& live)
      : loop_(loop), steps_(std::move(steps)), ends_(ends), live_(live) {
    ++live_;
  }
  ~ScriptedBody() override { --live_; }

  Task<http::ChunkResult> Read() override {
    if (next_ >= steps_.size()) {
      if (!ends_) co_await loop_.Sleep(absl::Hours(100'000));
      co_return http::Chunk{{}, true};
    }
    const BodyStep& step = steps_[next_];
    co_await loop_.Sleep(step.delay);
    ++next_;
    if (step.failure.has_value()) co_return *step.failure;
    co_return http::Chunk{step.data, ends_ && next_ == steps_.size()};
  }

 private:
  Loop& loop_;
  const std::vector<BodyStep> steps_;
  const bool ends_;
  int& live_;
  size_t next_ = 0;
};

class ScriptedNext final : public chain::Filter {
 public:
  explicit ScriptedNext(Loop& loop) : loop_(loop) {}

  void Respond(ScriptedResponse response) {
    steps_.push_back({std::move(response), std::nullopt, absl::ZeroDuration(), false});
  }
  void Fail(http::Failure failure, absl::Duration delay = absl::ZeroDuration()) {
    steps_.push_back({{}, failure, delay, false});
  }
  // Never answers.
  void Hang() { steps_.push_back({{}, std::nullopt, absl::ZeroDuration(), true}); }
  // Used for every call when the script is empty.
  void RespondAlways(ScriptedResponse response) { fallback_ = std::move(response); }

  // Steps that nobody took.
  void ForgetScript() { steps_.clear(); }

  Task<http::Result> Call(http::Request& request, chain::Next) override {
    const LiveCount live(live_calls_);
    ++calls_;
    call_times_.push_back(loop_.Now());
    const ScriptStep step = TakeStep();
    while (!request.dispatch_hooks.empty()) {
      http::DispatchHook& hook = request.dispatch_hooks.front();
      hook.Unlink();
      std::optional<http::Failure> refused = co_await hook.BeforeDispatch(request);
      if (refused.has_value()) co_return *refused;
    }
    if (step.hangs) co_await loop_.Sleep(absl::Hours(100'000));
    if (step.failure.has_value()) {
      co_await loop_.Sleep(step.delay);
      if (step.failure->phase >= http::Phase::kSending) request.was_dispatched = true;
      co_return *step.failure;
    }
    request.was_dispatched = true;
    co_await loop_.Sleep(step.response.delay);
    http::Response response;
    response.status = step.response.status;
    for (const auto& [name, value] : step.response.headers) {
      response.headers.Add(request.arena->Copy(name), request.arena->Copy(value));
    }
    response.has_body = !step.response.body.empty();
    if (response.has_body) {
      response.body = std::make_unique<ScriptedBody>(loop_, step.response.body, step.response.ends,
                                                     live_bodies_);
    }
    co_return response;
  }

  int calls() const { return calls_; }
  const std::vector<MonoTime>& call_times() const { return call_times_; }
  int live_calls() const { return live_calls_; }
  int live_bodies() const { return live_bodies_; }

 private:
  struct ScriptStep {
    ScriptedResponse response;
    std::optional<http::Failure> failure;
    absl::Duration delay;
    bool hangs = false;
  };
  struct LiveCount {
    explicit LiveCount(int& counter) : count(counter) { ++count; }
    ~LiveCount() { --count; }
    int& count;
  };

  ScriptStep TakeStep() {
    if (steps_.empty()) return {fallback_.value_or(ScriptedResponse{}), std::nullopt, {}, false};
    ScriptStep step = std::move(steps_.front());
    steps_.pop_front();
    return step;
  }

  Loop& loop_;
  std::deque<ScriptStep> steps_;
  std::optional<ScriptedResponse> fallback_;
  std::vector<MonoTime> call_times_;
  int calls_ = 0;
  int live_calls_ = 0;
  int live_bodies_ = 0;
};

// A chain of the filter under test and the script, and one request through it.
class FilterRun {
 public:
  FilterRun(Loop& loop, chain::Filter& filter, chain::Filter& next) {
    filters_.push_back(std::make_unique<Borrowed>(filter));
    filters_.push_back(std::make_unique<Borrowed>(next));
    request.arena = &arena_;
    request.method = http::Method::kPost;
    request.method_name = "POST";
    request.target = request.path = "/v1/test";
    request.authority = "test";
    request.tenant = "anonymous";
    request.id = "test-request";
    request.received = loop.PreciseNow();
  }

  void Start() {
    task_ = Run();
    task_.Start();
  }
  bool is_done() const { return result_.has_value(); }
  // REQUIRES: is_done().
  http::Result& result() { return *result_; }

  // Reads the response's body to its end or failure; nullopt when it would have to wait.
  // Call loop.Advance() and ask again.
  void StartReading() {
    task_ = ReadAll();
    task_.Start();
  }
  bool is_read() const { return is_read_; }
  const std::string& body() const { return body_; }
  const std::optional<http::Failure>& body_failure() const { return body_failure_; }

  // The client leaves: destroys the task and then the response.
  void Drop() {
    task_.Reset();
    result_.reset();
    request.body.reset();
  }

  http::Request request;

 private:
  class Borrowed final : public chain::Filter {
   public:
    explicit Borrowed(chain::Filter& filter) : filter_(filter) {}
    Task<http::Result> Call(http::Request& req, chain::Next next) override {
      return filter_.Call(req, next);
    }

   private:
    chain::Filter& filter_;
  };

  Task<void> Run() {
    http::Result result = co_await chain::Next(filters_.data())(request);
    result_.emplace(std::move(result));
  }

  Task<void> ReadAll() {
    http::Response& response = result_->value();
    while (response.has_body) {
      http::ChunkResult chunk = co_await response.body->Read();
      if (!chunk.ok()) {
        body_failure_ = chunk.error();
        break;
      }
      body_ += chunk->data;
      if (chunk->is_last) break;
    }
    is_read_ = true;
  }

  Arena arena_;
  chain::FilterList filters_;
  std::optional<http::Result> result_;
  Task<void> task_;
  std::string body_;
  std::optional<http::Failure> body_failure_;
  bool is_read_ = false;
};

}  // namespace outrigger
