#include "proxy/chain/admission.h"

#include <algorithm>

#include "proxy/grpc/timeout.h"

namespace outrigger::chain {

using http::Failure;
using http::HeaderField;
using http::HeaderId;
using http::Reason;

namespace {

// A deadline that cannot be read must not be taken for none.
bool HasBadTimeout(const http::HeaderList& headers) {
  if (!headers.Has(HeaderId::kGrpcTimeout)) return false;
  return std::any_of(headers.begin(), headers.end(), [](const HeaderField& field) {
    return field.id == HeaderId::kGrpcTimeout && !grpc::ParseTimeout(field.value).has_value();
  });
}

bool HasViaOf(const http::HeaderList& headers, std::string_view name) {
  for (const HeaderField& field : headers) {
    if (field.id == HeaderId::kVia && field.value.find(name) != std::string_view::npos) return true;
  }
  return false;
}

}  // namespace

void SetForwardedCert(http::Request& request, config::ForwardedCert mode) {
  if (mode == config::ForwardedCert::kForward) return;
  std::string_view value = request.peer_certificate;
  if (mode == config::ForwardedCert::kSanitize) value = {};
  const http::HeaderField* received = request.headers.Find(HeaderId::kXForwardedClientCert);
  if (mode == config::ForwardedCert::kAppend && received != nullptr) {
    if (value.empty()) return;
    value = request.arena->Concat(received->value, ",", value);
  }
  request.headers.Remove(HeaderId::kXForwardedClientCert);
  if (value.empty()) return;
  request.upstream_headers.Add({"x-forwarded-client-cert", value, HeaderId::kXForwardedClientCert});
}

Failure Admit(const DriverContext& context, const http::Request& request, const RouteChain* route) {
  if (context.refuses_requests) return {.reason = Reason::kDraining};
  if (context.budget.refuses_requests()) return {.reason = Reason::kOverloadMemory};
  if (route == nullptr) return {.reason = Reason::kNoRoute};
  if (HasViaOf(request.headers, context.via_name)) return {.reason = Reason::kLoopDetected};
  if (request.is_grpc && HasBadTimeout(request.headers)) {
    return {.reason = Reason::kBadRequest, .detail = "malformed grpc-timeout"};
  }
  return {};
}

}  // namespace outrigger::chain
