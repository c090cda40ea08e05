// The promises of the retry filter as a whole (semantics B0.2, RT-3, RT-5, E.2): load in every
// window, and never a second try of what was begun or may not run twice.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "filters/common/commit_gate.h"
#include "fmt/format.h"
#include "tests/filters/retry/retry_worker.h"
#include "tests/support/chain_of.h"

namespace outrigger::retry {
namespace {

using absl::Milliseconds;
using absl::Seconds;
using http::Effects;
using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;

uint64_t ClockSeed() {
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

// 100 % failing at five requests a second for a minute: at most 1.2 times the requests and three
// more, in all and in each ten seconds that one may look at.
TEST(RetryGoals, NoTenSecondsOfADeadServiceSeeMoreThanAFifthMoreAndThree) {
  constexpr int kPerSecond = 5;
  constexpr int kSeconds = 60;
  const absl::Duration window = Seconds(10);
  const uint64_t seed = ClockSeed();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Random random(seed);
  for (int round = 0; round < 20; ++round) {
    RetryWorker worker({.budget = BudgetPolicy(), .seed = random.Next()});
    worker.next.RespondAlways({.status = 500});
    // The ledger's slices begin anywhere in a second of ours.
    worker.loop.Advance(Milliseconds(static_cast<int64_t>(random.Below(1000))));
    std::deque<FilterRun> runs;
    std::vector<MonoTime> begun;
    for (int i = 0; i < kPerSecond * kSeconds; ++i) {
      begun.push_back(worker.loop.Now());
      runs.emplace_back(worker.loop, worker.filter, worker.next).request.effects = Effects::kNone;
      runs.back().Start();
      worker.loop.Advance(Seconds(1) / kPerSecond);
    }
    worker.loop.Advance(Seconds(10));

    const auto within = [window](const std::vector<MonoTime>& sorted, MonoTime from) {
      return std::lower_bound(sorted.begin(), sorted.end(), from + window) -
             std::lower_bound(sorted.begin(), sorted.end(), from);
    };
    const std::vector<MonoTime>& calls = worker.next.call_times();
    ASSERT_TRUE(std::is_sorted(calls.begin(), calls.end()));
    const auto first = static_cast<long>(begun.size());
    EXPECT_LE(static_cast<long>(calls.size()), first * 12 / 10 + 3 * (kSeconds / 10));
    EXPECT_GT(static_cast<long>(calls.size()), first * 11 / 10);
    // Windows begin where a call would be the first in them; those of the last ten seconds have
    // fewer first attempts than there were before, which had earned the retries.
    for (const MonoTime from : calls) {
      if (from + window > begun.back()) break;
      const long in_window = within(begun, from);
      ASSERT_LE(within(calls, from) * 10, in_window * 12 + 3 * 10)
          << round << ": from " << (from - begun.front());
    }
  }
}

// Where and how an attempt goes wrong, or does not.
enum class Fault {
  kNone,
  kConnect,
  kReusedClosed,  // on a connection that was kept: only ever the first attempt's
  kReset,
  kTimeout,
  kStatus,
  kBodyCut,             // after the head of an answer that is not a stream
  kStreamError,         // an error event before any content
  kStreamCutEarly,      // cut before any content
  kStreamSilent,        // nothing but pings: the hold ends, the head is sent
  kStreamErrorLate,     // after content
  kStreamCutLate,       // after content
  kStreamStallsLate,    // after content
  kStreamWithoutEnding  // the framing ends, the last word is missing
};
constexpr Fault kBuffered[] = {Fault::kNone,   Fault::kConnect, Fault::kReusedClosed,
                               Fault::kReset,  Fault::kTimeout, Fault::kStatus,
                               Fault::kBodyCut};
constexpr Fault kStreamed[] = {Fault::kNone,
                               Fault::kConnect,
                               Fault::kReusedClosed,
                               Fault::kReset,
                               Fault::kTimeout,
                               Fault::kStatus,
                               Fault::kStreamError,
                               Fault::kStreamCutEarly,
                               Fault::kStreamSilent,
                               Fault::kStreamErrorLate,
                               Fault::kStreamCutLate,
                               Fault::kStreamStallsLate,
                               Fault::kStreamWithoutEnding};

// Rows of B0.2 by what they let retry do.
enum class Rule { kNever, kAnyEffects, kHarmlessOnly };
struct StatusRow {
  int status;
  bool asks_to_come_again;
  Rule rule;
  Executed executed;
};
constexpr StatusRow kStatuses[] = {
    {200, false, Rule::kNever, Executed::kYes},
    {204, false, Rule::kNever, Executed::kYes},
    {302, false, Rule::kNever, Executed::kYes},
    {400, false, Rule::kNever, Executed::kYes},
    {401, false, Rule::kNever, Executed::kYes},  // no credential of ours
    {403, false, Rule::kNever, Executed::kYes},
    {404, false, Rule::kNever, Executed::kYes},
    {408, false, Rule::kAnyEffects, Executed::kNo},
    {409, false, Rule::kNever, Executed::kYes},
    {422, false, Rule::kNever, Executed::kYes},
    {425, false, Rule::kAnyEffects, Executed::kNo},
    {429, false, Rule::kAnyEffects, Executed::kNo},
    {429, true, Rule::kAnyEffects, Executed::kNo},
    {500, false, Rule::kHarmlessOnly, Executed::kMaybe},
    {502, false, Rule::kHarmlessOnly, Executed::kMaybe},
    {503, true, Rule::kAnyEffects, Executed::kNo},
    {503, false, Rule::kHarmlessOnly, Executed::kMaybe},  // as an unsafe route must read it
    {504, false, Rule::kHarmlessOnly, Executed::kMaybe},
    {529, false, Rule::kAnyEffects, Executed::kNo},
};
struct StreamErrorRow {
  const char* type;
  Rule rule;
};
constexpr StreamErrorRow kStreamErrors[] = {
    {"overloaded_error", Rule::kAnyEffects},
    {"rate_limit_error", Rule::kAnyEffects},
    {"api_error", Rule::kHarmlessOnly},
    {"invalid_request_error", Rule::kNever},
};

constexpr std::string_view kPing = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
constexpr std::string_view kStart = "event: message_start\ndata: {\"type\":\"message_start\"}\n\n";
constexpr std::string_view kStop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

std::string ErrorEvent(std::string_view type) {
  return fmt::format(
      "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"{}\",\"message\":\"m\"}}}}"
      "\n\n",
      type);
}

Failure Lost(Reason reason, Phase phase) {
  return {.reason = reason, .phase = phase, .executed = Executed::kMaybe};
}

class RandomRequest {
 public:
  RandomRequest(RetryWorker& worker, chain::Filter& gate, Random& random)
      : worker_(worker), random_(random), chain_({&worker.filter, &gate, &worker.next}) {}

  void Run() {
    const bool is_stream = random_.Below(2) == 0;
    const auto effects = static_cast<Effects>(random_.Below(3));
    const bool has_key = random_.Below(2) == 0;
    // A service cannot deduplicate by a key that is not there.
    is_harmless_ = effects == Effects::kNone || (effects == Effects::kKeyed && has_key);
    FilterRun run(worker_.loop, chain_, worker_.next);
    run.request.effects = effects;
    if (has_key) run.request.headers.Add("Idempotency-Key", "k");

    const int expected_calls = Script(is_stream);
    const int calls_before = worker_.next.calls();
    run.Start();
    worker_.loop.Advance(Seconds(60));
    const std::string what =
        fmt::format("{} effects {} key {}:{}", is_stream ? "stream" : "buffered",
                    static_cast<int>(effects), has_key, told_);
    ASSERT_TRUE(run.is_done()) << what;
    ASSERT_EQ(worker_.next.calls() - calls_before, expected_calls) << what;
    ASSERT_EQ(worker_.next.live_calls(), 0) << what;
    // Nothing of the attempts before is held.
    ASSERT_LE(worker_.next.live_bodies(), 1) << what;
    if (run.result().ok()) {
      run.StartReading();
      worker_.loop.Advance(Seconds(10));
      // Whatever happens to an answer that was begun, it is not asked for again.
      ASSERT_EQ(worker_.next.calls() - calls_before, expected_calls) << what;
      ASSERT_EQ(run.is_read(), !is_left_hanging_) << what;
      if (has_answer_) {
        ASSERT_EQ(run.body(), answer_) << what;
      }
      ASSERT_EQ(run.body_failure().has_value(), is_cut_) << what;
    }
    if (run.request.executed < executed_) FAIL() << what;
    run.Drop();
    worker_.next.ForgetScript();
    ASSERT_EQ(worker_.next.live_bodies(), 0) << what;
  }

 private:
  // The attempts to come; returns how many of them may be made.
  int Script(bool is_stream) {
    int retries_left = 2;
    for (int attempt = 1;; ++attempt) {
      bool is_free = false;
      const Rule rule = AddAttempt(is_stream, attempt, &is_free);
      const bool may = rule == Rule::kAnyEffects || (rule == Rule::kHarmlessOnly && is_harmless_);
      if (!may || (!is_free && retries_left == 0)) return attempt;
      if (!is_free) --retries_left;
    }
  }

  Rule AddAttempt(bool is_stream, int attempt, bool* is_free) {
    Fault fault = is_stream ? kStreamed[random_.Below(std::size(kStreamed))]
                            : kBuffered[random_.Below(std::size(kBuffered))];
    if (fault == Fault::kReusedClosed && attempt > 1) fault = Fault::kReset;
    told_ += fmt::format(" {}", static_cast<int>(fault));
    has_answer_ = is_cut_ = is_left_hanging_ = false;
    ScriptedNext& next = worker_.next;
    const std::string text = fmt::format("answer {}", attempt);
    switch (fault) {
      case Fault::kConnect:
        next.Fail({.reason = Reason::kConnectFail, .phase = Phase::kConnect});
        return Rule::kAnyEffects;
      case Fault::kReusedClosed: {
        Failure failure = Lost(Reason::kUpstreamReset, Phase::kAwaitingHead);
        failure.on_reused_connection = true;
        next.Fail(failure);
        return *is_free = true, Note(Rule::kHarmlessOnly, Executed::kMaybe);
      }
      case Fault::kReset:
        next.Fail(Lost(Reason::kUpstreamReset,
                       random_.Below(2) == 0 ? Phase::kSending : Phase::kAwaitingHead));
        return Note(Rule::kHarmlessOnly, Executed::kMaybe);
      case Fault::kTimeout:
        next.Fail(Lost(random_.Below(2) == 0 ? Reason::kPerTryTimeout : Reason::kTtftTimeout,
                       Phase::kAwaitingHead));
        return Note(Rule::kHarmlessOnly, Executed::kMaybe);
      case Fault::kStatus: {
        const StatusRow& row = kStatuses[random_.Below(std::size(kStatuses))];
        told_ += fmt::format("={}{}", row.status, row.asks_to_come_again ? "+" : "");
        ScriptedResponse response{.status = row.status, .body = {{text}}};
        if (row.asks_to_come_again) response.headers = {{"Retry-After", "1"}};
        next.Respond(response);
        Answered(text);
        // A harmless service that is unavailable has done nothing.
        const bool is_idle = row.status == 503 && is_harmless_;
        return Note(row.rule, is_idle ? Executed::kNo : row.executed);
      }
      case Fault::kNone:
        if (is_stream) return AddStream({Content(text), std::string(kStop)}, {});
        next.Respond({.body = {{text}, {" more"}}});
        Answered(text + " more");
        return Note(Rule::kNever, Executed::kYes);
      case Fault::kBodyCut: {
        ScriptedResponse response{.body = {{text}}};
        if (random_.Below(2) == 0) response.body.clear();
        response.body.push_back({.failure = Lost(Reason::kUpstreamReset, Phase::kBody)});
        const bool has_text = response.body.size() > 1;
        next.Respond(response);
        Answered(has_text ? text : "");
        is_cut_ = true;
        return Note(Rule::kNever, Executed::kMaybe);
      }
      default:
        return AddStreamFault(fault, text);
    }
  }

  Rule AddStreamFault(Fault fault, const std::string& text) {
    const StreamErrorRow& error = kStreamErrors[random_.Below(std::size(kStreamErrors))];
    switch (fault) {
      case Fault::kStreamError:
        told_ += fmt::format("={}", error.type);
        return AddStreamError(error);
      case Fault::kStreamCutEarly:
        AddStream({}, Lost(Reason::kUpstreamReset, Phase::kBody));
        return Note(Rule::kHarmlessOnly, Executed::kMaybe);
      case Fault::kStreamSilent:
        AddStream({}, {}, /*ends=*/false);
        is_left_hanging_ = true;
        return Note(Rule::kNever, Executed::kMaybe);
      case Fault::kStreamErrorLate:
        return AddStream({Content(text), ErrorEvent(error.type)}, {});
      case Fault::kStreamCutLate:
        is_cut_ = true;
        return AddStream({Content(text)}, Lost(Reason::kUpstreamReset, Phase::kBody));
      case Fault::kStreamStallsLate:
        is_left_hanging_ = true;
        return AddStream({Content(text)}, {}, /*ends=*/false);
      default:
        return AddStream({Content(text)}, {});
    }
  }

  // Becomes an answer with a status of its own.
  Rule AddStreamError(const StreamErrorRow& error) {
    const Executed before = executed_;
    AddStream({ErrorEvent(error.type)}, {});
    executed_ = before;
    has_answer_ = false;
    return Note(error.rule, error.rule == Rule::kHarmlessOnly ? Executed::kMaybe : Executed::kNo);
  }

  // A preamble of random length, then `events`, then perhaps a failure.
  Rule AddStream(const std::vector<std::string>& events, std::optional<Failure> failure,
                 bool ends = true) {
    std::string all;
    ScriptedResponse response{.headers = {{"Content-Type", "text/event-stream"}}, .ends = ends};
    for (uint64_t pings = 1 + random_.Below(3); pings > 0; --pings) all += kPing;
    all += kStart;
    for (const std::string& event : events) all += event;
    // In pieces that know nothing of events.
    for (size_t at = 0; at < all.size();) {
      const size_t length = 1 + random_.Below(all.size());
      response.body.push_back({all.substr(at, length)});
      at += length;
    }
    if (failure.has_value()) response.body.push_back({.failure = failure});
    worker_.next.Respond(response);
    Answered(all);
    return Note(Rule::kNever, Executed::kMaybe);
  }

  static std::string Content(std::string_view text) {
    return fmt::format(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"delta\":{{\"text\":"
        "\"{}\"}}}}\n\n",
        text);
  }
  void Answered(std::string answer) {
    has_answer_ = true;
    answer_ = std::move(answer);
  }
  Rule Note(Rule rule, Executed executed) {
    executed_ = std::max(executed_, executed);
    return rule;
  }

  RetryWorker& worker_;
  Random& random_;
  ChainOf chain_;
  bool is_harmless_ = false;
  // Of the last attempt of the script.
  bool has_answer_ = false;
  bool is_cut_ = false;
  bool is_left_hanging_ = false;
  std::string answer_;
  Executed executed_ = Executed::kNo;
  std::string told_;
};

TEST(RetryGoals, NothingIsTriedAgainThatWasBegunOrMayNotRunTwice) {
  const uint64_t seed = ClockSeed();
  SCOPED_TRACE(fmt::format("seed {}", seed));
  Random random(seed);
  RetryWorker worker({.seed = random.Next()});
  worker.logs.set_level(log::Level::kError);
  DeadlineQueue hold(worker.loop, Seconds(15));
  common::CommitGate gate(worker.loop, common::StreamGrammar::kAnthropic, &hold);
  constexpr int kRequests = 100'000;
  for (int i = 0; i < kRequests; ++i) {
    SCOPED_TRACE(i);
    RandomRequest(worker, gate, random).Run();
    if (testing::Test::HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace outrigger::retry
