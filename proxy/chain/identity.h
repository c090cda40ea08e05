// Names for a request and its caller: request id, W3C trace context, tenant.
//
//   IdentityMaker identity(random);
//   request.id = identity.RequestId(request.headers, arena);
//   const TraceContext trace = identity.Trace(request.headers, arena);
//   request.tenant = identity.Tenant(request, tenant_config, arena);
//
// One worker. Strings live in the arena, are static, or are the caller's field itself.

#pragma once

#include <string_view>

#include "proxy/base/arena.h"
#include "proxy/base/random.h"
#include "proxy/config/config.h"
#include "proxy/http/headers.h"
#include "proxy/http/request.h"

namespace outrigger::chain {

struct TraceContext {
  std::string_view traceparent;  // of this hop: the caller's trace, a span of our own
  std::string_view trace_id;     // view into it
};

// Who the client is, for the log: `peer`, unless `trusted_hops` proxies stand in front. Then the
// entry of X-Forwarded-For that the outermost of them added, which is that many from the right;
// with fewer entries the first. What is no address ends the search at the one before: no proxy that
// is to be believed writes such a thing. Entries further left are the client's own words.
std::string_view ClientAddress(const http::HeaderList& headers, std::string_view peer,
                               int64_t trusted_hops);

class IdentityMaker {
 public:
  explicit IdentityMaker(Random& random) : random_(random) {}

  // The caller's x-request-id when it is usable (1 to 128 visible ASCII characters, no quote and
  // no backslash), else a new one.
  std::string_view RequestId(const http::HeaderList& headers, Arena& arena);
  // Continues a well-formed traceparent of version 00, else starts a trace (W3C Trace Context).
  TraceContext Trace(const http::HeaderList& headers, Arena& arena);
  // Whom the request is accounted to (semantics ID-2): the trusted header's value, else the first
  // of the configured sources that the request has, the name in the client's certificate or a hash
  // of Authorization, else "anonymous". A credential itself is never kept. Notes in the request
  // whether anybody can make up more tenants of this kind.
  std::string_view Tenant(http::Request& request, const config::TenantConfig& config,
                          Arena& arena);

 private:
  Random& random_;
};

}  // namespace outrigger::chain
