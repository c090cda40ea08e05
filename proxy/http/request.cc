#include "proxy/http/request.h"

namespace outrigger::http {

std::string_view ProtocolName(Protocol protocol) {
  return protocol == Protocol::kHttp2 ? "HTTP/2" : "HTTP/1.1";
}

void Request::Detach(Arena& owned) {
  for (std::string_view* view : {&method_name, &target, &authority, &peer_address, &peer_identity,
                                 &peer_certificate, &client_address, &path, &query, &tenant, &id,
                                 &traceparent}) {
    *view = owned.Copy(*view);
  }
  if (!trace_id.empty()) trace_id = owned.Copy(trace_id);
  headers.CopyInto(owned);
  upstream_headers.CopyInto(owned);
  response_headers.CopyInto(owned);
  arena = &owned;
}

}  // namespace outrigger::http
