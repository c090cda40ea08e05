// What a client is told of the limits (semantics LM-5): the fields of
// draft-ietf-httpapi-ratelimit-headers, and on request those of OpenAI's API.
//
//   LimitHeaders headers({.ietf = true, .openai = false}, rules);
//   headers.Add({.rule = 0, .remaining = 42, .until = absl::Seconds(18)}, request);
//
//   RateLimit-Policy: "req";q=100;w=60, "burst";q=20;w=1
//   RateLimit: "req";r=42;t=18
//   x-ratelimit-limit-requests: 100
//   x-ratelimit-remaining-requests: 42
//   x-ratelimit-reset-requests: 18s
//
// A policy is what a rule lets through in its window: the burst in the time that brings it back,
// or, when that is below a second, the rate's own numbers, scaled up to whole seconds. Hence r <= q
// always.
//
// Immutable; the policies' text and the names are views into it, the rest is in the request's
// arena. Adds no allocation of its own.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "filters/rate_limit/policy.h"
#include "proxy/http/request.h"

namespace outrigger::rate_limit {

class LimitHeaders {
 public:
  struct Kinds {
    bool ietf = true;
    bool openai = false;
  };
  // How one rule stands after a decision.
  struct Standing {
    size_t rule = 0;  // index in the list of the constructor
    int64_t remaining = 0;
    // Admitted: until the whole burst is back. Refused: until the request fits.
    absl::Duration until;
  };

  LimitHeaders(Kinds kinds, const std::vector<const Rule*>& rules);

  // To `request.response_headers`, in place of what an earlier attempt has put there.
  void Add(const Standing& standing, http::Request& request) const;
  // OpenAI's fields from the service give way, since two values of one would say nothing. Those of
  // the draft are lists of named policies and stay beside ours.
  bool replaces_service_fields() const { return kinds_.openai && !texts_.empty(); }
  void RemoveFrom(http::HeaderList& headers) const;

 private:
  struct Texts {
    std::string ietf_prefix;   // `"name";r=`
    std::string openai_limit;  // the burst
  };

  const Kinds kinds_;
  std::string policies_;
  std::vector<Texts> texts_;
};

// `"name";q=...;w=...`
std::string PolicyText(const Rule& rule);

// The way Go writes a duration, rounded up to a millisecond: "0s", "20ms", "1.2s", "6m0s",
// "1h0m2s". Writes at most kMaxGoDuration characters; returns the end.
inline constexpr size_t kMaxGoDuration = 32;
char* WriteGoDuration(absl::Duration duration, char* out);

}  // namespace outrigger::rate_limit
