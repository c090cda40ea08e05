// The tunnel that a request has become, with what is counted about it: tunnels that are open, bytes
// in each direction, how long it lasted and how it ended.
//
//   ObservedTunnel tunnel(context, route, record, std::move(sides));
//   const tunnel::Tunnel::End end = co_await tunnel.Run();
//   const ObservedTunnel::Ending ending = tunnel.End(ObservedTunnel::ToMetric(end));
//
// `context`, `route`, `record` and the sides outlive it; for destruction see Tunnel. One worker.

#pragma once

#include "proxy/base/pooled.h"
#include "proxy/chain/driver_context.h"
#include "proxy/http/request_record.h"
#include "proxy/http/response.h"
#include "proxy/tunnel/tunnel.h"

namespace outrigger::chain {

class ObservedTunnel final : public Pooled, private tunnel::Tunnel::Observer {
 public:
  // What the end of the tunnel means for its request.
  struct Ending {
    http::StreamOutcome outcome = http::StreamOutcome::kComplete;
    http::Reason reason = http::Reason::kNone;
    // The client may take what it has for all; otherwise its stream is aborted.
    bool is_in_order = true;
  };

  ObservedTunnel(DriverContext& context, const RouteChain& route, http::RequestRecord& record,
                 tunnel::Tunnel::Sides sides);
  ~ObservedTunnel() override;

  Task<tunnel::Tunnel::End> Run() { return tunnel_.Run(); }
  // Ends what is open of it and counts it. REQUIRES: called at most once, as the last.
  Ending End(metrics::TunnelEnd end);

  MonoTime started() const { return started_; }

  static metrics::TunnelEnd ToMetric(tunnel::Tunnel::End end);

 private:
  // tunnel::Tunnel::Observer
  void OnTunnelBytes(bool is_to_service, size_t bytes) override;

  DriverContext& context_;
  metrics::RouteMetrics& metrics_;
  http::RequestRecord& record_;
  tunnel::Tunnel tunnel_;
  MonoTime started_;
};

}  // namespace outrigger::chain
