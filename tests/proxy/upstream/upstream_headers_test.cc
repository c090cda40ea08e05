// What is written anew for the service: the deadline of a gRPC call.

#include "proxy/upstream/upstream_headers.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "proxy/grpc/timeout.h"

namespace outrigger::upstream {
namespace {

using absl::Milliseconds;
using absl::Seconds;
using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr MonoTime kNow = MonoTime::FromNanos(1'000'000'000);

struct Sent {
  std::string grpc_timeout;  // empty: none
  std::string request_timeout;
};

Sent Build(bool is_grpc, MonoTime deadline, const Fields& fields) {
  Arena arena;
  http::Request request;
  request.arena = &arena;
  request.is_grpc = is_grpc;
  request.deadline = deadline;
  for (const auto& [name, value] : fields) request.headers.Add(name, value);
  UpstreamFields out;
  BuildUpstreamFields(request, kNow, "outrigger", false, out);
  Sent sent;
  for (const http::HeaderField& field : request.headers) {
    if (field.id == http::HeaderId::kGrpcTimeout && !out.skipped.Contains(field.id)) {
      sent.grpc_timeout += field.value;
    }
  }
  sent.grpc_timeout += out.added.Get("grpc-timeout").value_or("");
  sent.request_timeout = out.added.Get("x-request-timeout-ms").value_or("");
  return sent;
}

TEST(UpstreamHeaders, GrpcTimeoutIsWhatIsLeftOfTheDeadline) {
  const MonoTime deadline = kNow + Milliseconds(1500);
  const Sent sent = Build(true, deadline, {{"grpc-timeout", "7S"}});
  EXPECT_EQ(sent.grpc_timeout, "1500000u");
  EXPECT_EQ(sent.request_timeout, "1500");
  EXPECT_EQ(Build(true, kNow + -Seconds(1), {{"grpc-timeout", "7S"}}).grpc_timeout, "1n");
}

TEST(UpstreamHeaders, CallersDeadlineOfAnyFormBecomesOneOfGrpc) {
  const MonoTime deadline = kNow + Seconds(2);
  for (const char* name : {"x-request-timeout-ms", "x-envoy-expected-rq-timeout-ms"}) {
    EXPECT_EQ(Build(true, deadline, {{name, "2000"}}).grpc_timeout, "2000000u") << name;
    EXPECT_EQ(Build(false, deadline, {{name, "2000"}}).grpc_timeout, "") << name;
  }
  // Also of what only looks like a call, so that nobody downstream waits for longer.
  EXPECT_EQ(Build(false, deadline, {{"grpc-timeout", "9S"}}).grpc_timeout, "2000000u");
}

TEST(UpstreamHeaders, WithoutACallersDeadlineNoneIsMadeUp) {
  EXPECT_EQ(Build(true, kNow + Seconds(300), {}).grpc_timeout, "");
  EXPECT_EQ(Build(true, kNow + Seconds(300), {}).request_timeout, "300000");
  EXPECT_EQ(Build(true, MonoTime::Infinite(), {{"grpc-timeout", "7S"}}).grpc_timeout, "7S");
}

}  // namespace
}  // namespace outrigger::upstream
