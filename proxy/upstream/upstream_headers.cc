#include "proxy/upstream/upstream_headers.h"

#include <algorithm>
#include <charconv>

namespace outrigger::upstream {

using http::HeaderField;
using http::HeaderId;

namespace {

constexpr std::string_view kExhausted = "x-outrigger-retries-exhausted";

std::string_view Decimal(Arena& arena, int64_t number) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  return arena.Copy({digits, static_cast<size_t>(end - digits)});
}

std::string_view Appended(Arena& arena, std::string_view list, std::string_view entry) {
  return list.empty() ? entry : arena.Concat(list, ", ", entry);
}

}  // namespace

void BuildUpstreamHeaders(http::Request& request, MonoTime now, std::string_view via_name,
                          bool keeps_expect, http::HeaderList& out) {
  Arena& arena = *request.arena;
  std::string_view via;
  std::string_view forwarded_for;
  bool has_proto = false;
  bool has_host = false;
  for (const HeaderField& field : request.headers) {
    switch (field.id) {
      case HeaderId::kXOutrigger:
      case HeaderId::kXRequestId:
      case HeaderId::kTraceparent:
      case HeaderId::kXRequestTimeoutMs:
        continue;
      case HeaderId::kVia:
        via = Appended(arena, via, field.value);
        continue;
      case HeaderId::kXForwardedFor:
        forwarded_for = Appended(arena, forwarded_for, field.value);
        continue;
      case HeaderId::kExpect:
        if (keeps_expect) out.Add(field);
        continue;
      case HeaderId::kXForwardedProto:
        has_proto = true;
        break;
      case HeaderId::kXForwardedHost:
        has_host = true;
        break;
      default:
        break;
    }
    out.Add(field);
  }
  out.Add({"via",
           via.empty() ? arena.Concat("1.1 ", via_name) : arena.Concat(via, ", 1.1 ", via_name),
           HeaderId::kVia});
  out.Add({"x-forwarded-for", Appended(arena, forwarded_for, request.peer_address),
           HeaderId::kXForwardedFor});
  if (!has_proto) out.Add({"x-forwarded-proto", request.scheme, HeaderId::kXForwardedProto});
  if (!has_host && !request.authority.empty()) {
    out.Add({"x-forwarded-host", request.authority, HeaderId::kXForwardedHost});
  }
  out.Add({"x-request-id", request.id, HeaderId::kXRequestId});
  out.Add({"traceparent", request.traceparent, HeaderId::kTraceparent});
  out.Add({"x-outrigger-attempt", Decimal(arena, request.attempt), HeaderId::kXOutrigger});
  if (!request.deadline.is_infinite()) {
    const int64_t left = std::max<int64_t>(1, (request.deadline - now) / absl::Milliseconds(1));
    out.Add({"x-request-timeout-ms", Decimal(arena, left), HeaderId::kXRequestTimeoutMs});
  }
  for (const HeaderField& field : request.upstream_headers) out.Add(field);
}

void StripResponseHeaders(http::HeaderList& headers) {
  // Cheap when there is nothing to strip, which is nearly always.
  if (!headers.Has(HeaderId::kXOutrigger)) return;
  headers.RemoveIf([](const HeaderField& field) {
    return field.id == HeaderId::kXOutrigger && !http::EqualsIgnoreCase(field.name, kExhausted);
  });
}

}  // namespace outrigger::upstream
