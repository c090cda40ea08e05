#include "tools/mock-ai/faults.h"

#include <charconv>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "fmt/format.h"

namespace outrigger::mock_ai {
namespace {

std::string_view Trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

template <class Number>
bool ParseNumber(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

absl::Status Invalid(std::string_view clause, std::string_view what) {
  return absl::InvalidArgumentError(fmt::format("fault \"{}\": {}", clause, what));
}

// What a clause may have after its name.
enum class Argument { kNone, kOptionalCount, kCount };

struct BodyClause {
  std::string_view name;
  BodyFault fault;
  Argument argument;
};

constexpr BodyClause kBodyClauses[] = {
    {"stall-body", BodyFault::kStall, Argument::kCount},
    {"role-only-stall", BodyFault::kRoleOnlyStall, Argument::kNone},
    {"error-event", BodyFault::kErrorEvent, Argument::kNone},
    {"error-event-after", BodyFault::kErrorEvent, Argument::kCount},
    {"cut-after", BodyFault::kCut, Argument::kCount},
    {"no-terminal", BodyFault::kNoTerminal, Argument::kNone},
    {"truncate", BodyFault::kTruncate, Argument::kOptionalCount},
    {"lie-short", BodyFault::kLieShort, Argument::kOptionalCount},
    {"truncated-chunk", BodyFault::kTruncatedChunk, Argument::kOptionalCount},
    {"bad-chunk", BodyFault::kBadChunk, Argument::kOptionalCount},
};

struct OpeningClause {
  std::string_view name;
  Opening opening;
};

constexpr OpeningClause kOpeningClauses[] = {
    {"stall-head", Opening::kStall},
    {"close-before-head", Opening::kClose},
    {"garbage", Opening::kGarbage},
};

struct FlagClause {
  std::string_view name;
  bool FaultPlan::*flag;
};

constexpr FlagClause kFlagClauses[] = {
    {"executed", &FaultPlan::is_executed},
    {"close-after-response", &FaultPlan::closes_silently},
    {"trailers", &FaultPlan::sends_trailers},
    {"http10", &FaultPlan::is_http10},
    {"no-continue", &FaultPlan::withholds_continue},
};

// One clause, taken apart. `has_argument` tells "name:" from "name".
struct Clause {
  std::string_view text;
  std::string_view name;
  std::string_view argument;
  bool has_argument = false;
};

absl::Status SetBody(const Clause& clause, BodyFault fault, FaultPlan& plan) {
  if (plan.body != BodyFault::kNone) {
    return Invalid(clause.text, "another clause decides about the body already");
  }
  plan.body = fault;
  return absl::OkStatus();
}

absl::Status ParseStatus(const Clause& clause, FaultPlan& plan) {
  int status = 0;
  if (!ParseNumber(clause.argument, status) || status < 200 || status > 599) {
    return Invalid(clause.text, "expected a status from 200 to 599");
  }
  plan.status = status;
  return absl::OkStatus();
}

absl::Status ParseHeader(const Clause& clause, FaultPlan& plan) {
  const size_t equals = clause.argument.find('=');
  if (equals == 0 || equals == std::string_view::npos) {
    return Invalid(clause.text, "expected header:<name>=<value>");
  }
  plan.headers.push_back({std::string(clause.argument.substr(0, equals)),
                          std::string(clause.argument.substr(equals + 1))});
  return absl::OkStatus();
}

absl::Status ParsePace(const Clause& clause, FaultPlan& plan) {
  Pace pace{.bytes = 1, .interval = absl::Milliseconds(10)};
  const size_t comma = clause.argument.find(',');
  if (!ParseNumber(clause.argument.substr(0, comma), pace.bytes) || pace.bytes == 0) {
    return Invalid(clause.text, "expected slow-response:<bytes>[,<interval>]");
  }
  if (comma != std::string_view::npos) {
    absl::StatusOr<absl::Duration> interval = ParseDuration(clause.argument.substr(comma + 1));
    if (!interval.ok()) return interval.status();
    pace.interval = *interval;
  }
  plan.pace = pace;
  return absl::OkStatus();
}

absl::Status ParseEarly(const Clause& clause, FaultPlan& plan) {
  EarlyResponse early;
  const size_t comma = clause.argument.find(',');
  if (clause.has_argument && (!ParseNumber(clause.argument.substr(0, comma), early.status) ||
                              early.status < 200 || early.status > 599)) {
    return Invalid(clause.text, "expected early-response[:<status>[,keep|close|abort]]");
  }
  if (comma != std::string_view::npos) {
    const std::string_view mode = clause.argument.substr(comma + 1);
    early.keeps_connection = mode == "keep";
    early.aborts = mode == "abort";
    if (mode != "keep" && mode != "close" && mode != "abort") {
      return Invalid(clause.text, "expected keep, close or abort");
    }
  }
  plan.early = early;
  return absl::OkStatus();
}

absl::Status ParseInformational(const Clause& clause, FaultPlan& plan) {
  int status = 0;
  if (!ParseNumber(clause.argument, status) || status < 100 || status > 199 || status == 101) {
    return Invalid(clause.text, "expected a status from 100 to 199 other than 101");
  }
  plan.informational.push_back(status);
  return absl::OkStatus();
}

absl::Status ParseDurationClause(const Clause& clause, FaultPlan& plan) {
  absl::StatusOr<absl::Duration> duration = ParseDuration(clause.argument);
  if (!duration.ok()) return duration.status();
  if (clause.name == "delay") plan.delay = *duration;
  if (clause.name == "ttft") plan.ttft = *duration;
  if (clause.name == "itl") plan.itl = *duration;
  return absl::OkStatus();
}

absl::Status ParsePingOnly(const Clause& clause, FaultPlan& plan) {
  if (clause.has_argument) {
    absl::StatusOr<absl::Duration> interval = ParseDuration(clause.argument);
    if (!interval.ok()) return interval.status();
    if (*interval <= absl::ZeroDuration()) return Invalid(clause.text, "expected more than 0");
    plan.ping_interval = *interval;
  }
  return SetBody(clause, BodyFault::kPingOnly, plan);
}

absl::Status ParseClause(std::string_view text, FaultPlan& plan);

// first:N alone, or in front of another clause: first:2:status:503.
absl::Status ParseFirst(const Clause& clause, FaultPlan& plan) {
  const size_t colon = clause.argument.find(':');
  uint64_t first = 0;
  if (!ParseNumber(clause.argument.substr(0, colon), first)) {
    return Invalid(clause.text, "expected first:<number>");
  }
  plan.first = first;
  if (colon == std::string_view::npos) return absl::OkStatus();
  return ParseClause(clause.argument.substr(colon + 1), plan);
}

absl::Status ParseNamed(const Clause& clause, FaultPlan& plan) {
  if (clause.name == "status") return ParseStatus(clause, plan);
  if (clause.name == "header") return ParseHeader(clause, plan);
  if (clause.name == "retry-after" || clause.name == "retry-after-ms") {
    plan.headers.push_back({std::string(clause.name), std::string(clause.argument)});
    return absl::OkStatus();
  }
  if (clause.name == "first") return ParseFirst(clause, plan);
  if (clause.name == "ping-only") return ParsePingOnly(clause, plan);
  if (clause.name == "slow-response") return ParsePace(clause, plan);
  if (clause.name == "early-response") return ParseEarly(clause, plan);
  if (clause.name == "informational") return ParseInformational(clause, plan);
  if (clause.name == "delay" || clause.name == "ttft" || clause.name == "itl") {
    return ParseDurationClause(clause, plan);
  }
  if (clause.name == "tokens") {
    int64_t tokens = 0;
    if (!ParseNumber(clause.argument, tokens) || tokens < 1 || tokens > 1'000'000) {
      return Invalid(clause.text, "expected a number from 1 to 1000000");
    }
    plan.tokens = tokens;
    return absl::OkStatus();
  }
  if (clause.name == "rst-at") {
    uint64_t bytes = 0;
    if (!ParseNumber(clause.argument, bytes)) return Invalid(clause.text, "expected a number");
    plan.reset_at = bytes;
    return absl::OkStatus();
  }
  return Invalid(clause.text, "there is no fault of that name");
}

absl::Status ParseClause(std::string_view text, FaultPlan& plan) {
  Clause clause{.text = text};
  const size_t colon = text.find(':');
  clause.name = text.substr(0, colon);
  clause.has_argument = colon != std::string_view::npos;
  if (clause.has_argument) clause.argument = Trim(text.substr(colon + 1));

  for (const FlagClause& known : kFlagClauses) {
    if (known.name != clause.name) continue;
    if (clause.has_argument) return Invalid(text, "takes no argument");
    plan.*known.flag = true;
    return absl::OkStatus();
  }
  for (const OpeningClause& known : kOpeningClauses) {
    if (known.name != clause.name) continue;
    if (clause.has_argument) return Invalid(text, "takes no argument");
    if (plan.opening != Opening::kHead) {
      return Invalid(text, "another clause decides about the head already");
    }
    plan.opening = known.opening;
    return absl::OkStatus();
  }
  for (const BodyClause& known : kBodyClauses) {
    if (known.name != clause.name) continue;
    if (known.argument == Argument::kNone && clause.has_argument) {
      return Invalid(text, "takes no argument");
    }
    if (known.argument == Argument::kCount || clause.has_argument) {
      uint64_t count = 0;
      if (!ParseNumber(clause.argument, count)) return Invalid(text, "expected a number");
      plan.count = count;
    }
    return SetBody(clause, known.fault, plan);
  }
  return ParseNamed(clause, plan);
}

}  // namespace

absl::StatusOr<absl::Duration> ParseDuration(std::string_view text) {
  absl::Duration duration;
  int64_t millis = 0;
  if (ParseNumber(text, millis)) {
    duration = absl::Milliseconds(millis);
  } else if (!absl::ParseDuration(absl::string_view(text.data(), text.size()), &duration)) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" is not a duration", text));
  }
  if (duration < absl::ZeroDuration() || duration > absl::Hours(24)) {
    return absl::InvalidArgumentError(fmt::format("\"{}\" is not from 0 to 24 h", text));
  }
  return duration;
}

absl::StatusOr<FaultPlan> ParseFaults(const std::vector<std::string>& clauses) {
  FaultPlan plan;
  for (const std::string& clause : clauses) {
    if (Trim(clause).empty()) continue;
    if (absl::Status status = ParseClause(Trim(clause), plan); !status.ok()) return status;
  }
  return plan;
}

absl::StatusOr<FaultPlan> ParseFaults(std::string_view spec) {
  std::vector<std::string> clauses;
  while (true) {
    const size_t end = spec.find(';');
    clauses.emplace_back(spec.substr(0, end));
    if (end == std::string_view::npos) break;
    spec.remove_prefix(end + 1);
  }
  return ParseFaults(clauses);
}

std::optional<FaultPlan> FaultQueue::Take(std::string_view path, bool is_health) {
  for (auto entry = entries_.begin(); entry != entries_.end(); ++entry) {
    const bool matches =
        entry->path.empty() ? !is_health : path.substr(0, entry->path.size()) == entry->path;
    if (!matches) continue;
    if (entry->count < 0) return entry->plan;
    FaultPlan plan = entry->plan;
    if (--entry->count <= 0) entries_.erase(entry);
    return plan;
  }
  return std::nullopt;
}

}  // namespace outrigger::mock_ai
