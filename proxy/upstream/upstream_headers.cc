#include "proxy/upstream/upstream_headers.h"

#include <algorithm>
#include <charconv>

#include "proxy/grpc/timeout.h"

namespace outrigger::upstream {

using http::HeaderField;
using http::HeaderId;
using http::HeaderIdSet;

namespace {

constexpr std::string_view kExhausted = "x-outrigger-retries-exhausted";
constexpr HeaderIdSet kRewritten(HeaderId::kXOutrigger, HeaderId::kXRequestId,
                                 HeaderId::kTraceparent, HeaderId::kXRequestTimeoutMs,
                                 HeaderId::kVia, HeaderId::kXForwardedFor);
// Whoever sent one of these with a gRPC call has set it a deadline.
constexpr HeaderIdSet kCallersTimeouts(HeaderId::kGrpcTimeout, HeaderId::kXRequestTimeoutMs,
                                       HeaderId::kXEnvoyExpectedRqTimeoutMs);
constexpr HeaderIdSet kLists(HeaderId::kVia, HeaderId::kXForwardedFor);

std::string_view Decimal(Arena& arena, int64_t number) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  return arena.Copy({digits, static_cast<size_t>(end - digits)});
}

// All fields of that id as one list.
std::string_view Joined(const http::HeaderList& headers, HeaderId id, Arena& arena) {
  std::string_view list;
  for (const HeaderField& field : headers) {
    if (field.id != id) continue;
    list = list.empty() ? field.value : arena.Concat(list, ", ", field.value);
  }
  return list;
}

}  // namespace

void BuildUpstreamFields(http::Request& request, MonoTime now, std::string_view via_name,
                         bool keeps_expect, UpstreamFields& out) {
  Arena& arena = *request.arena;
  const HeaderIdSet present = request.headers.ids();
  out.skipped = kRewritten;
  if (!keeps_expect) out.skipped.Add(HeaderId::kExpect);
  std::string_view via;
  std::string_view forwarded_for;
  if (present.Intersects(kLists)) {
    via = Joined(request.headers, HeaderId::kVia, arena);
    forwarded_for = Joined(request.headers, HeaderId::kXForwardedFor, arena);
  }
  // By what it was received, not by what it is sent (RFC 9110, 7.6.3).
  const std::string_view version = request.protocol == http::Protocol::kHttp2 ? "2 " : "1.1 ";
  via = via.empty() ? arena.Concat(version, via_name) : arena.Concat(via, ", ", version, via_name);
  out.added.Add({"via", via, HeaderId::kVia});
  forwarded_for = forwarded_for.empty() ? request.peer_address
                                        : arena.Concat(forwarded_for, ", ", request.peer_address);
  // Empty in requests of our own, which are for nobody.
  if (!forwarded_for.empty()) {
    out.added.Add({"x-forwarded-for", forwarded_for, HeaderId::kXForwardedFor});
  }
  if (!present.Contains(HeaderId::kXForwardedProto)) {
    out.added.Add({"x-forwarded-proto", request.scheme, HeaderId::kXForwardedProto});
  }
  out.added.Add({"x-request-id", request.id, HeaderId::kXRequestId});
  out.added.Add({"traceparent", request.traceparent, HeaderId::kTraceparent});
  const std::string_view attempt = request.attempt == 1 ? "1" : Decimal(arena, request.attempt);
  out.added.Add({"x-outrigger-attempt", attempt, HeaderId::kXOutrigger});
  // A tunnel outlives the deadline, which is for its answer alone.
  if (!request.deadline.is_infinite() && request.upgrade.empty()) {
    const int64_t left = std::max<int64_t>(1, (request.deadline.nanos() - now.nanos()) / 1'000'000);
    out.added.Add({"x-request-timeout-ms", Decimal(arena, left), HeaderId::kXRequestTimeoutMs});
    // Without a deadline of the caller's a call may be a stream that goes on for longer than
    // `overall`; the service would end it.
    if (present.Contains(HeaderId::kGrpcTimeout) ||
        (request.is_grpc && present.Intersects(kCallersTimeouts))) {
      out.skipped.Add(HeaderId::kGrpcTimeout);
      out.added.Add({"grpc-timeout", grpc::FormatTimeout(request.deadline - now, arena),
                     HeaderId::kGrpcTimeout});
    }
  }
  for (const HeaderField& field : request.upstream_headers) out.added.Add(field);
}

void StripResponseHeaders(http::HeaderList& headers) {
  // Cheap when there is nothing to strip, which is nearly always.
  if (!headers.ids().Contains(HeaderId::kXOutrigger)) return;
  headers.RemoveIf([](const HeaderField& field) {
    return field.id == HeaderId::kXOutrigger && !http::EqualsIgnoreCase(field.name, kExhausted);
  });
}

}  // namespace outrigger::upstream
