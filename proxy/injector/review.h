// One question of the API server, an AdmissionReview of admission.k8s.io/v1, and its answer, which
// carries the sidecar as a JSON Patch (K8-1 c).
//
//   absl::StatusOr<ReviewAnswer> answer = AnswerReview(options, body);
//   if (!answer.ok()) ...                         // 400; what happens then is the failurePolicy's
//
// Every pod is allowed. One that has the sidecar, or does not want it, gets no patch, so that being
// asked again changes nothing; one that cannot have it gets the annotation outrigger/status, as by
// the chart's admission policy. Answers have no side effects: a dry run gets the same. Pure.

#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proxy/inject/pod.h"

namespace outrigger::injector {

enum class Verdict : uint8_t { kInjected, kLeftAlone, kImpossible };
inline constexpr size_t kVerdictCount = 3;

// "injected", "left_alone", "impossible".
std::string_view VerdictName(Verdict verdict);

struct ReviewAnswer {
  Verdict verdict = Verdict::kLeftAlone;
  std::string body;    // JSON
  std::string reason;  // why not
  std::string pod;     // "namespace/name", or what its name will begin with
};

// InvalidArgument: it is no such review, and why. Text of the review stands in the message only as
// far as it is short.
absl::StatusOr<ReviewAnswer> AnswerReview(const inject::Options& options, std::string_view body);

}  // namespace outrigger::injector
