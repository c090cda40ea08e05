#include "tools/mock-ai/apply_faults.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tools/mock-ai/openai.h"

namespace outrigger::mock_ai {
namespace {

Answer Unary() { return MakeAnswer(200, "text/plain", "0123456789"); }

Answer Stream() {
  Answer answer = MakeEventStream(Dialect::kOpenAi);
  answer.steps = {MakeStep(StepKind::kPreamble, "role"), MakeStep(StepKind::kContent, "one"),
                  MakeStep(StepKind::kContent, "two"),   MakeStep(StepKind::kContent, "three"),
                  MakeStep(StepKind::kFinish, "finish"), MakeStep(StepKind::kTerminal, "done")};
  return answer;
}

Answer Bend(Answer answer, std::string_view spec) {
  const absl::StatusOr<FaultPlan> plan = ParseFaults(spec);
  EXPECT_TRUE(plan.ok()) << plan.status();
  const absl::Status status = ApplyFaults(*plan, answer);
  EXPECT_TRUE(status.ok()) << status;
  return answer;
}

std::string Body(const Answer& answer) {
  std::string body;
  for (const Step& step : answer.steps) body += step.data;
  return body;
}

std::vector<StepKind> Kinds(const Answer& answer) {
  std::vector<StepKind> kinds;
  for (const Step& step : answer.steps) kinds.push_back(step.kind);
  return kinds;
}

TEST(ApplyFaults, LeavesAnAnswerWithoutFaultsAlone) {
  const Answer answer = Bend(Stream(), "");
  EXPECT_EQ(Body(answer), Body(Stream()));
  EXPECT_EQ(answer.ending, Ending::kComplete);
  EXPECT_FALSE(answer.declared_length.has_value());
}

TEST(ApplyFaults, StallsAndCutsAUnaryBodyAtBytesButAnnouncesAllOfIt) {
  for (size_t bytes = 0; bytes <= 12; ++bytes) {
    SCOPED_TRACE(bytes);
    const Answer stalled = Bend(Unary(), "stall-body:" + std::to_string(bytes));
    EXPECT_EQ(Body(stalled), std::string("0123456789").substr(0, bytes));
    EXPECT_EQ(stalled.declared_length, 10U);
    EXPECT_EQ(stalled.ending, Ending::kStall);
    const Answer cut = Bend(Unary(), "cut-after:" + std::to_string(bytes));
    EXPECT_EQ(Body(cut), Body(stalled));
    EXPECT_EQ(cut.ending, Ending::kCut);
  }
}

TEST(ApplyFaults, CutsAFilledBodyToo) {
  Answer answer = MakeAnswer(200, "text/plain", "");
  answer.steps.emplace_back();
  answer.steps.back().fill = 1000;
  answer = Bend(answer, "cut-after:300");
  EXPECT_EQ(answer.body_bytes(), 300U);
  EXPECT_EQ(answer.declared_length, 1000U);
}

TEST(ApplyFaults, StallsAndCutsAStreamAtEvents) {
  EXPECT_EQ(Body(Bend(Stream(), "cut-after:2")), "roleone");
  EXPECT_EQ(Body(Bend(Stream(), "stall-body:0")), "");
  EXPECT_EQ(Body(Bend(Stream(), "stall-body:99")), Body(Stream()));
}

TEST(ApplyFaults, KeepsOnlyThePreambleOrOnlyPings) {
  const Answer role = Bend(Stream(), "role-only-stall");
  EXPECT_EQ(Kinds(role), (std::vector<StepKind>{StepKind::kPreamble}));
  EXPECT_EQ(role.ending, Ending::kStall);
  const Answer pings = Bend(Stream(), "ping-only:20ms");
  EXPECT_TRUE(pings.steps.empty());
  EXPECT_EQ(pings.ending, Ending::kPings);
  EXPECT_EQ(pings.ping_interval, absl::Milliseconds(20));
}

TEST(ApplyFaults, PutsTheErrorEventAfterTheContentThatWasAskedFor) {
  using enum StepKind;
  EXPECT_EQ(Kinds(Bend(Stream(), "error-event")), (std::vector<StepKind>{kPreamble, kError}));
  EXPECT_EQ(Kinds(Bend(Stream(), "error-event-after:2")),
            (std::vector<StepKind>{kPreamble, kContent, kContent, kError}));
  EXPECT_EQ(Kinds(Bend(Stream(), "error-event-after:9")),
            (std::vector<StepKind>{kPreamble, kContent, kContent, kContent, kError}));
}

TEST(ApplyFaults, LeavesOutOnlyTheTerminal) {
  const Answer answer = Bend(Stream(), "no-terminal");
  EXPECT_EQ(Body(answer), "roleonetwothreefinish");
  EXPECT_EQ(answer.ending, Ending::kComplete);
}

TEST(ApplyFaults, LiesAboutTheLengthBothWays) {
  const Answer shorter = Bend(Stream(), "truncate:3");
  EXPECT_EQ(shorter.framing, Framing::kLength);
  EXPECT_EQ(shorter.declared_length, Body(Stream()).size());
  EXPECT_EQ(shorter.body_bytes(), Body(Stream()).size() - 3);
  const Answer longer = Bend(Unary(), "lie-short:4");
  EXPECT_EQ(longer.declared_length, 10U);
  EXPECT_EQ(longer.body_bytes(), 14U);
}

TEST(ApplyFaults, SpoilsTheChunkThatWasAskedFor) {
  const Answer truncated = Bend(Stream(), "truncated-chunk:2");
  EXPECT_EQ(Body(truncated), "roleone4\r\nt");
  EXPECT_TRUE(truncated.steps.back().is_raw);
  EXPECT_EQ(truncated.ending, Ending::kCut);
  const Answer bad = Bend(Unary(), "bad-chunk");
  EXPECT_EQ(bad.framing, Framing::kChunked);
  EXPECT_EQ(bad.steps.size(), 1U);
  EXPECT_EQ(Body(bad).substr(0, 2), "zz");
}

TEST(ApplyFaults, ChangesTheFraming) {
  const Answer trailers = Bend(Unary(), "trailers");
  EXPECT_EQ(trailers.framing, Framing::kChunked);
  EXPECT_EQ(trailers.trailers.size(), 1U);
  const Answer old = Bend(Stream(), "http10");
  EXPECT_EQ(old.version_minor, 0);
  EXPECT_EQ(old.framing, Framing::kUntilClose);
}

TEST(ApplyFaults, RefusesAFaultOfStreamsForAnotherAnswer) {
  for (const std::string_view spec :
       {"role-only-stall", "ping-only", "error-event", "error-event-after:1", "no-terminal"}) {
    SCOPED_TRACE(spec);
    Answer answer = Unary();
    EXPECT_EQ(ApplyFaults(*ParseFaults(spec), answer).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(Body(answer), Body(Unary()));
  }
}

}  // namespace
}  // namespace outrigger::mock_ai
