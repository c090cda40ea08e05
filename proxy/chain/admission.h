// What is decided about a request before its chain runs, besides its route.

#pragma once

#include "proxy/chain/driver_context.h"
#include "proxy/http/failure.h"
#include "proxy/http/request.h"

namespace outrigger::chain {

// Says who is calling in `x-forwarded-client-cert`, as the listener is told to: a service may take
// the field for the proof, so that only whom the configuration trusts may say it (SE-3).
void SetForwardedCert(http::Request& request, config::ForwardedCert mode);

// A reason to refuse the request; kNone: none. `route` is null when nobody takes it.
http::Failure Admit(const DriverContext& context, const http::Request& request,
                    const RouteChain* route);

}  // namespace outrigger::chain
