// The keys of an upstream's health.

#include "proxy/config/compound_types.h"
#include "proxy/config/description.h"
#include "proxy/config/scalar_types.h"
#include "proxy/config/section.h"

namespace outrigger::config {
namespace {

constexpr size_t kMaxBody = 64 << 10;

// What is wrong with these two is said without them: one may be secret, the other long.
absl::StatusOr<std::string> ReadHiddenValue(std::string_view text) {
  // RFC 9110, section 5.5.
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
      return absl::InvalidArgumentError("a header's value has no control characters");
    }
  }
  if (text.empty() || text.front() == ' ' || text.back() == ' ') {
    return absl::InvalidArgumentError("a header's value neither is empty nor has spaces around it");
  }
  return std::string(text);
}

absl::StatusOr<std::string> ReadBody(std::string_view text) {
  if (text.size() > kMaxBody) {
    return absl::InvalidArgumentError(
        fmt::format("must be at most {}, got {} bytes", SizeText(kMaxBody), text.size()));
  }
  return std::string(text);
}

Type<InferenceSettings> DescribeInference() {
  using S = InferenceSettings;
  using M = InferenceSettings::Method;
  return Section<S>("inference")
      .Key("path", &S::path, PathType(), "Where the model is asked", "must be stated")
      .Key("method", &S::method,
           OneWordOf<M>({{"POST", M::kPost}, {"GET", M::kGet}, {"PUT", M::kPut}}), "How")
      .Key("headers", &S::headers,
           Map("header", HeaderNameType(),
               TextType("the value of a header", "^[^ ](.*[^ ])?$", ReadHiddenValue)),
           "Sent along, an API key for example; `GET /config` does not show the values")
      .Key("content_type", &S::content_type, HeaderValueType(), "What the body is")
      .Key("body", &S::body, TextType("a text in quotes of at most 64KiB", "", ReadBody),
           "What is asked, as cheap as can be", "empty")
      .Key("timeout", &S::timeout, DurationType(), "How long the whole answer may take")
      .Done();
}

}  // namespace

Type<HealthSettings> DescribeHealth() {
  using S = HealthSettings;
  return Section<S>("health")
      .Key("path", &S::path, Or("none", PathType()),
           "GET this path, over TLS and HTTP/2 where the upstream has them; `none` only connects")
      .Key("grpc", &S::grpc, Or("none", NameType()),
           "Ask grpc.health.v1.Health for this service instead; `server` is the server as a whole")
      .Key("interval", &S::interval, DurationType({.min = absl::Milliseconds(10)}),
           "Time between checks")
      .Key("timeout", &S::timeout, DurationType(), "How long a check may take")
      .Key("unhealthy_after", &S::unhealthy_after, CountType({.min = 1, .max = 1000}),
           "Failures in a row after which the app counts as down")
      .Key("healthy_after", &S::healthy_after, CountType({.min = 1, .max = 1000}),
           "Successes in a row after which it counts as up again")
      .Key("inference", &S::inference, Or("none", DescribeInference()),
           "A request that only a working model can answer, made after the check has passed. The "
           "app counts as up when one was answered with 2xx, and until the checks fail again")
      .Done();
}

}  // namespace outrigger::config
