#include "tools/mock-ai/apply_faults.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"
#include "tools/mock-ai/wire.h"

namespace outrigger::mock_ai {
namespace {

// Keeps the first `bytes` of the body.
void KeepBytes(uint64_t bytes, std::vector<Step>& steps) {
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].size() < bytes) {
      bytes -= steps[i].size();
      continue;
    }
    if (steps[i].fill > 0) {
      steps[i].fill = bytes;
    } else {
      steps[i].data.resize(bytes);
    }
    steps.resize(bytes > 0 ? i + 1 : i);
    return;
  }
}

// Keeps the first `count` events of a stream, or bytes of another body.
void KeepFirst(uint64_t count, Answer& answer) {
  if (!answer.is_event_stream) return KeepBytes(count, answer.steps);
  if (count < answer.steps.size()) answer.steps.resize(count);
}

// The length that the head will announce must not follow what is cut from the steps.
void PinLength(Answer& answer) {
  if (answer.framing == Framing::kLength) answer.declared_length = answer.body_bytes();
}

void InsertError(uint64_t after_content, Answer& answer) {
  std::vector<Step>& steps = answer.steps;
  auto at = steps.begin();
  for (uint64_t seen = 0; at != steps.end(); ++at) {
    const bool is_end = at->kind == StepKind::kFinish || at->kind == StepKind::kTerminal;
    if (is_end || (at->kind == StepKind::kContent && seen++ == after_content)) break;
  }
  Step error;
  if (at != steps.end()) error.delay = at->delay;
  error.kind = StepKind::kError;
  error.data = ErrorEvent(answer.dialect, "the engine failed while it was generating");
  steps.erase(at, steps.end());
  steps.push_back(std::move(error));
}

// Gives the steps as chunks up to the one that is spoilt, and the position of that one.
size_t PrepareChunks(const FaultPlan& plan, Answer& answer) {
  answer.framing = Framing::kChunked;
  answer.ending = Ending::kCut;
  std::vector<Step>& steps = answer.steps;
  if (steps.empty()) steps.emplace_back();
  const uint64_t spoilt =
      std::min<uint64_t>(plan.count.value_or(steps.size() / 2), steps.size() - 1);
  steps.resize(spoilt + 1);
  return spoilt;
}

void TruncateChunk(const FaultPlan& plan, Answer& answer) {
  Step& step = answer.steps[PrepareChunks(plan, answer)];
  std::string data = std::move(step.data);
  if (step.fill > 0)
    AppendFill(0, std::min<uint64_t>(std::exchange(step.fill, 0), step.piece), data);
  step.data = fmt::format("{:x}\r\n{}", data.size() + 1, data.substr(0, data.size() / 2));
  step.is_raw = true;
}

void SpoilChunk(const FaultPlan& plan, Answer& answer) {
  Step& step = answer.steps[PrepareChunks(plan, answer)];
  step.fill = 0;
  step.data = "zz\r\nnot a chunk\r\n";
  step.is_raw = true;
}

bool NeedsEventStream(BodyFault fault) {
  return fault == BodyFault::kRoleOnlyStall || fault == BodyFault::kPingOnly ||
         fault == BodyFault::kErrorEvent || fault == BodyFault::kNoTerminal;
}

void ApplyToBody(const FaultPlan& plan, Answer& answer) {
  switch (plan.body) {
    case BodyFault::kNone:
      return;
    case BodyFault::kStall:
    case BodyFault::kCut:
      PinLength(answer);
      KeepFirst(plan.count.value_or(0), answer);
      answer.ending = plan.body == BodyFault::kStall ? Ending::kStall : Ending::kCut;
      return;
    case BodyFault::kRoleOnlyStall:
      std::erase_if(answer.steps,
                    [](const Step& step) { return step.kind != StepKind::kPreamble; });
      answer.ending = Ending::kStall;
      return;
    case BodyFault::kPingOnly:
      answer.steps.clear();
      answer.ending = Ending::kPings;
      answer.ping_interval = plan.ping_interval;
      return;
    case BodyFault::kErrorEvent:
      return InsertError(plan.count.value_or(0), answer);
    case BodyFault::kNoTerminal:
      std::erase_if(answer.steps,
                    [](const Step& step) { return step.kind == StepKind::kTerminal; });
      return;
    case BodyFault::kTruncate: {
      answer.framing = Framing::kLength;
      const uint64_t total = answer.body_bytes();
      answer.declared_length = total;
      KeepBytes(total - std::min(total, plan.count.value_or((total + 1) / 2)), answer.steps);
      answer.ending = Ending::kCut;
      return;
    }
    case BodyFault::kLieShort: {
      answer.framing = Framing::kLength;
      answer.declared_length = answer.body_bytes();
      Step extra;
      extra.data.assign(plan.count.value_or(16), 'x');
      answer.steps.push_back(std::move(extra));
      return;
    }
    case BodyFault::kTruncatedChunk:
      return TruncateChunk(plan, answer);
    case BodyFault::kBadChunk:
      return SpoilChunk(plan, answer);
  }
}

}  // namespace

absl::Status ApplyFaults(const FaultPlan& plan, Answer& answer) {
  if (NeedsEventStream(plan.body) && !answer.is_event_stream) {
    return absl::InvalidArgumentError("this fault needs an answer that is an event stream");
  }
  for (const Header& header : plan.headers) answer.headers.push_back(header);
  answer.informational = plan.informational;
  answer.head_delay += plan.delay;
  if (plan.opening != Opening::kHead) answer.opening = plan.opening;
  answer.reset_at = plan.reset_at;
  answer.pace = plan.pace;
  if (plan.closes_silently) answer.afterwards = Afterwards::kCloseSilently;
  ApplyToBody(plan, answer);
  if (plan.sends_trailers) {
    answer.framing = Framing::kChunked;
    answer.trailers.push_back({"x-mock-trailer", "1"});
  }
  if (plan.is_http10) {
    answer.version_minor = 0;
    answer.framing = Framing::kUntilClose;
    answer.trailers.clear();
  }
  return absl::OkStatus();
}

}  // namespace outrigger::mock_ai
