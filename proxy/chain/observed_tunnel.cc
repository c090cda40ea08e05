#include "proxy/chain/observed_tunnel.h"

#include <utility>

namespace outrigger::chain {

using http::Reason;
using http::StreamOutcome;
using metrics::TunnelEnd;

ObservedTunnel::ObservedTunnel(DriverContext& context, const RouteChain& route,
                               http::RequestRecord& record, tunnel::Tunnel::Sides sides)
    : context_(context),
      metrics_(*route.metrics),
      record_(record),
      tunnel_(context.loop, std::move(sides), *route.tunnel_idle_timeouts, *this),
      started_(context.loop.PreciseNow()) {
  record_.request_bytes = 0;
  context_.metrics.Add(context_.standard_metrics.open_tunnels, 1);
}

ObservedTunnel::~ObservedTunnel() {
  context_.metrics.Add(context_.standard_metrics.open_tunnels, -1);
}

void ObservedTunnel::OnTunnelBytes(bool is_to_service, size_t bytes) {
  (is_to_service ? record_.request_bytes : record_.response_bytes) += bytes;
  context_.metrics.Increment(
      metrics_.tunnel_bytes.At(is_to_service ? metrics::TunnelDirection::kToService
                                             : metrics::TunnelDirection::kToClient),
      bytes);
}

ObservedTunnel::Ending ObservedTunnel::End(TunnelEnd end) {
  Ending ending;
  switch (end) {
    case TunnelEnd::kIdle:
      context_.metrics.Increment(
          context_.standard_metrics.timeouts.At(metrics::TimeoutTier::kTunnelIdle));
      ending.is_in_order = tunnel_.SayGoodbye();
      break;
    case TunnelEnd::kDrained:
      ending.reason = Reason::kDraining;
      ending.is_in_order = tunnel_.SayGoodbye();
      break;
    case TunnelEnd::kServiceGone:
      ending = {StreamOutcome::kCut, Reason::kUpstreamReset, false};
      break;
    case TunnelEnd::kClientGone:
      ending = {StreamOutcome::kClientGone, Reason::kNone, false};
      break;
    case TunnelEnd::kComplete:
    case TunnelEnd::kCount:
      break;
  }
  context_.metrics.Increment(metrics_.tunnels.At(end));
  context_.metrics.ObserveNanos(metrics_.tunnel_duration,
                                context_.loop.PreciseNow().nanos() - started_.nanos());
  record_.tunnel_end = metrics::TunnelEndNames()[static_cast<size_t>(end)];
  return ending;
}

TunnelEnd ObservedTunnel::ToMetric(tunnel::Tunnel::End end) {
  switch (end) {
    case tunnel::Tunnel::End::kComplete:
      return TunnelEnd::kComplete;
    case tunnel::Tunnel::End::kServiceGone:
      return TunnelEnd::kServiceGone;
    case tunnel::Tunnel::End::kClientGone:
      return TunnelEnd::kClientGone;
    case tunnel::Tunnel::End::kIdle:
      break;
  }
  return TunnelEnd::kIdle;
}

}  // namespace outrigger::chain
