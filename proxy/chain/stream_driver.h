// Drives one request from its head to its last byte: finds the route, fixes deadline, tenant and
// ids, awaits the chain, and pulls the answer's body to the client with back-pressure.
//
// Made by the codec for each request (StreamHandlerFactory) and destroyed by it, from the loop,
// when the answer is finished or the client is gone; destroying it cancels the chain. Failures
// become local replies here and nowhere else (semantics B0.3). After the head was sent, the only
// honest signals are an SSE error event and an aborted body. An answer that opens a tunnel
// (proxy/tunnel) is followed by its bytes in both directions, for which the deadline does not hold.
//
// One worker. DriverContext and everything in it outlives the streams.

#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "proxy/base/pooled.h"
#include "proxy/chain/driver_context.h"
#include "proxy/chain/observed_tunnel.h"
#include "proxy/http/server_stream.h"

namespace outrigger::chain {

class StreamDriver final : public http::StreamHandler, public Pooled {
 public:
  explicit StreamDriver(DriverContext& context);
  ~StreamDriver() override;

  http::Request& request() override { return request_; }
  void Start(http::ServerStream& stream) override;
  void OnClientGone() override;
  void OnShutdown() override;

 private:
  class PropagatedDeadline;

  void CountActive(int delta);
  void ArmDeadline();
  void OnDeadline();

  Task<void> Run();
  http::ResponseHeadToSend PrepareHead();
  void SendHead();
  void StartTunnel();
  // Ends what is open of it and concludes.
  void EndTunnel(metrics::TunnelEnd end);
  void SendFailure(const http::Failure& failure, std::string_view detail = {});
  // What becomes of its time limits once the head of an answer is known.
  void RearmDeadline();
  // The answer is one of gRPC: it ends with a status in trailers.
  bool is_grpc_answer() const { return request_.is_grpc && response_->status == 200; }
  // After the head was sent.
  void CutStream(http::Reason reason, http::StreamOutcome outcome);
  void ObserveContent();
  // Everything that is said once about a request, at its end.
  void Conclude(http::StreamOutcome outcome, http::Reason reason, int status);

  DriverContext& context_;
  http::Request request_;
  Arena arena_;
  const ChainSnapshot* snapshot_ = nullptr;  // kept by request_.chain_pin
  const RouteChain* route_ = nullptr;
  http::ServerStream* stream_ = nullptr;
  std::optional<http::Response> response_;
  DeadlineEntry deadline_;
  std::unique_ptr<PropagatedDeadline> propagated_;
  http::Reason deadline_reason_ = http::Reason::kDeadline;
  uint64_t seen_content_events_ = 0;
  MonoTime last_content_;
  std::optional<int> grpc_status_;  // as the client was told it
  MonoTime tunnel_started_;
  std::unique_ptr<ObservedTunnel> tunnel_;  // goes before the response
  bool is_concluded_ = false;
  Task<void> task_;
};

}  // namespace outrigger::chain
