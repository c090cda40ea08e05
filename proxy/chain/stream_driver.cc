#include "proxy/chain/stream_driver.h"

#include <utility>

#include "filters/common/local_reply.h"
#include "filters/common/outcome.h"
#include "filters/timeout/deadline_headers.h"
#include "proxy/chain/admission.h"
#include "proxy/chain/conclusion.h"
#include "proxy/chain/failure_reply.h"
#include "proxy/chain/http_date.h"
#include "proxy/grpc/status.h"
#include "proxy/http/path.h"
#include "proxy/tunnel/upgrade.h"

namespace outrigger::chain {

using http::Effects;
using http::Failure;
using http::HeaderField;
using http::HeaderId;
using http::Reason;
using http::StreamOutcome;

namespace {

Effects ToEffects(config::Effects effects) {
  switch (effects) {
    case config::Effects::kNone:
      return Effects::kNone;
    case config::Effects::kKeyed:
      return Effects::kKeyed;
    case config::Effects::kUnsafe:
      break;
  }
  return Effects::kUnsafe;
}

}  // namespace

// A deadline that the caller asked for, shorter than the route's.
class StreamDriver::PropagatedDeadline final : public Timer, public Pooled {
 public:
  explicit PropagatedDeadline(StreamDriver& driver)
      : Timer(driver.context_.loop), driver_(driver) {}

 private:
  void OnTimer() override { driver_.OnDeadline(); }

  StreamDriver& driver_;
};

StreamDriver::StreamDriver(DriverContext& context)
    : context_(context), deadline_([this] { OnDeadline(); }) {
  request_.arena = &arena_;
}

StreamDriver::~StreamDriver() {
  // Before anything that its frames point to.
  task_.Reset();
  if (stream_ == nullptr) return;
  CountActive(-1);
}

void StreamDriver::CountActive(int delta) {
  context_.metrics.Add(context_.standard_metrics.in_flight, delta);
  // One writer: no read-modify-write.
  context_.active_requests.store(context_.active_requests.load(std::memory_order_relaxed) + delta,
                                 std::memory_order_relaxed);
}

void StreamDriver::Start(http::ServerStream& stream) {
  stream_ = &stream;
  request_.chain_pin = context_.snapshot;
  snapshot_ = context_.snapshot.get();
  CountActive(1);
  request_.received = context_.loop.PreciseNow();
  request_.id = context_.identity.RequestId(request_.headers, arena_);
  const TraceContext trace = context_.identity.Trace(request_.headers, arena_);
  request_.traceparent = trace.traceparent;
  request_.trace_id = trace.trace_id;
  request_.response_headers.Add({"x-request-id", request_.id, HeaderId::kXRequestId});

  http::NormalPath normal;
  const std::string_view problem = http::NormalizePath(request_.target, arena_, normal);
  if (!problem.empty()) {
    SendFailure({.reason = Reason::kBadRequest}, problem);
    return;
  }
  request_.client_address =
      ClientAddress(request_.headers, request_.peer_address,
                    snapshot_->config->listeners[context_.listener].trusted_hops);
  request_.path = normal.path;
  request_.query = normal.query;
  SetForwardedCert(request_, snapshot_->config->listeners[context_.listener].forwarded_client_cert);
  route_ = snapshot_->Find(request_, context_.listener);
  const Failure refusal = Admit(context_, request_, route_);
  if (refusal.reason != Reason::kNone) {
    SendFailure(refusal);
    return;
  }
  // Without a key a service that deduplicates by it cannot.
  request_.effects = common::EffectsOfRequest(
      ToEffects(route_->config->EffectsOf(request_.method_name, request_.path)),
      request_.headers.Has(HeaderId::kIdempotencyKey));
  request_.tenant = context_.identity.Tenant(request_, snapshot_->config->tenant, arena_);
  ArmDeadline();
  if (request_.deadline <= context_.loop.Now()) {
    SendFailure({.reason = Reason::kDeadline}, "the caller's deadline had passed");
    return;
  }
  task_ = Run();
  task_.Start();
}

void StreamDriver::ArmDeadline() {
  request_.deadline = route_->overall_timeouts->NextDeadline();
  const timeout::CallerTimeout caller = timeout::ReadCallerTimeout(
      request_.headers, {.trusts_read_timeout = route_->trusts_sdk_timeout});
  if (caller.timeout >= route_->overall_timeouts->timeout()) {
    route_->overall_timeouts->Arm(deadline_);
    return;
  }
  request_.deadline = context_.loop.Now() + caller.timeout;
  propagated_ = std::make_unique<PropagatedDeadline>(*this);
  propagated_->Arm(request_.deadline);
}

// From the loop: nothing of the task is running.
void StreamDriver::OnDeadline() {
  task_.Reset();
  context_.metrics.Increment(context_.standard_metrics.timeouts.At(
      deadline_reason_ == Reason::kMaxStream ? metrics::TimeoutTier::kMaxStream
                                             : metrics::TimeoutTier::kOverall));
  if (stream_->is_head_sent()) {
    // Whom the caller gave a deadline is not to blame that the stream had not ended by then.
    const bool is_callers = request_.is_grpc && propagated_ != nullptr;
    CutStream(deadline_reason_, is_callers ? StreamOutcome::kClientGone : StreamOutcome::kStall);
    return;
  }
  response_.reset();
  // A recorded request may go on or end as unknown (ID-6): its caller must not take it for failed.
  const bool is_outcome_unknown = request_.has_record && request_.effects == Effects::kUnsafe &&
                                  request_.executed != http::Executed::kNo;
  SendFailure({.reason = deadline_reason_,
               .executed = request_.executed,
               .is_outcome_unknown = is_outcome_unknown});
}

void StreamDriver::OnClientGone() {
  task_.Reset();
  Conclude(StreamOutcome::kClientGone, Reason::kNone, 0);
}

void StreamDriver::OnShutdown() {
  if (is_concluded_) return;
  task_.Reset();
  if (tunnel_ != nullptr) {
    EndTunnel(metrics::TunnelEnd::kDrained);
    return;
  }
  if (stream_->is_head_sent()) {
    CutStream(Reason::kDraining, StreamOutcome::kCut);
    return;
  }
  response_.reset();
  SendFailure({.reason = Reason::kDraining, .executed = request_.executed});
}

Task<void> StreamDriver::Run() {
  http::Result result = co_await Next(route_->filters.data())(request_);
  if (!result.ok()) {
    SendFailure(result.error());
    co_return;
  }
  response_.emplace(std::move(result).value());
  if (response_->tunnel != nullptr) {
    StartTunnel();
    const tunnel::Tunnel::End end = co_await tunnel_->Run();
    EndTunnel(ObservedTunnel::ToMetric(end));
    co_return;
  }
  SendHead();
  while (response_->has_body) {
    std::optional<http::ChunkResult> ready = response_->body->TryRead();
    if (!ready.has_value()) {
      http::ChunkResult read = co_await response_->body->Read();
      ready = std::move(read);
    }
    http::ChunkResult& chunk = *ready;
    if (!chunk.ok()) {
      const bool is_stall = chunk.error().reason == Reason::kInterTokenTimeout ||
                            chunk.error().reason == Reason::kTtftTimeout ||
                            chunk.error().reason == Reason::kMaxStream;
      CutStream(chunk.error().reason, is_stall ? StreamOutcome::kStall : StreamOutcome::kCut);
      co_return;
    }
    if (response_->stream != nullptr) ObserveContent();
    request_.record.response_bytes += chunk->data.size();
    const http::HeaderList* trailers = chunk->is_last ? response_->body->trailers() : nullptr;
    if (trailers != nullptr && request_.is_grpc) grpc_status_ = grpc::StatusIn(*trailers);
    stream_->SendData(chunk->data, chunk->is_last && trailers == nullptr);
    if (chunk->is_last) break;
    while (stream_->pending_bytes() > 0) co_await stream_->drained().Wait();
  }
  StreamOutcome outcome = StreamOutcome::kComplete;
  if (const http::StreamState* state = response_->stream; state != nullptr) {
    if (state->has_error_event) {
      outcome = StreamOutcome::kErrorEvent;
    } else if (!state->is_complete) {
      outcome = StreamOutcome::kCut;
    }
  }
  stream_->Finish(response_->has_body ? response_->body->trailers() : nullptr);
  Conclude(outcome, response_->reason, response_->status);
}

// A stream's time is bounded by max_stream in place of overall (TO-3). What the answer to a gRPC
// call is, its head does not say; it may be a stream, unless it has ended. A deadline that the
// caller of a call has set holds for all of it.
void StreamDriver::RearmDeadline() {
  const http::Response& response = *response_;
  if (response.stream == nullptr) {
    const bool has_ended =
        !response.has_body || (response.grpc != nullptr && response.grpc->is_ended);
    if (!is_grpc_answer() || has_ended || propagated_ != nullptr) return;
  }
  propagated_.reset();
  deadline_reason_ = Reason::kMaxStream;
  route_->max_stream_timeouts->Arm(deadline_);
}

void StreamDriver::SendHead() {
  RearmDeadline();
  stream_->SendHead(PrepareHead());
}

http::ResponseHeadToSend StreamDriver::PrepareHead() {
  http::Response& response = *response_;
  // One id on every answer; the service's own is in its place in the trace.
  response.headers.Remove(HeaderId::kXRequestId);
  for (const HeaderField& field : request_.response_headers) response.headers.Add(field);
  if (!response.headers.Has(HeaderId::kDate)) {
    response.headers.Add({"Date", HttpDateNow(context_.loop, arena_), HeaderId::kDate});
  }
  if (request_.is_grpc) grpc_status_ = grpc::StatusIn(response.headers);
  return {.status = response.status,
          .headers = &response.headers,
          .has_body = response.has_body,
          .body_length = response.body_length,
          .close = context_.is_draining};
}

void StreamDriver::StartTunnel() {
  deadline_.Unlink();
  propagated_.reset();
  // The connection does not keep its buffer for as long as a tunnel may last.
  request_.Detach(arena_);
  std::unique_ptr<http::Body> from_client = stream_->StartTunnel(PrepareHead());
  tunnel_ = std::make_unique<ObservedTunnel>(
      context_, *route_, request_.record,
      tunnel::Tunnel::Sides{.client = *stream_,
                            .from_client = std::move(from_client),
                            .service = *response_->tunnel,
                            .from_service = *response_->body,
                            .is_websocket = request_.upgrade == tunnel::kWebSocket});
  tunnel_started_ = tunnel_->started();
}

void StreamDriver::EndTunnel(metrics::TunnelEnd end) {
  const ObservedTunnel::Ending ending = tunnel_->End(end);
  tunnel_.reset();
  if (ending.is_in_order) {
    stream_->Finish(nullptr);
  } else {
    stream_->Abort();
  }
  Conclude(ending.outcome, ending.reason, response_->status);
}

void StreamDriver::SendFailure(const Failure& failure, std::string_view detail) {
  const SentReply reply =
      SendFailureReply(*stream_, request_, failure, detail.empty() ? failure.detail : detail,
                       HttpDateNow(context_.loop, arena_), context_.is_draining);
  grpc_status_ = reply.grpc_status;
  Conclude(StreamOutcome::kComplete, failure.reason, reply.status);
}

void StreamDriver::CutStream(Reason reason, StreamOutcome outcome) {
  // Between events an event of our own says why; inside one it would complete it wrongly.
  if (response_->stream != nullptr && response_->stream->is_at_event_boundary) {
    common::LocalReplyContext reply_context;
    reply_context.effects = request_.effects;
    reply_context.request_id = request_.id;
    stream_->SendData(BuildStreamError(reason, reply_context, arena_), false);
  }
  if (is_grpc_answer()) {
    http::HeaderList trailers;
    common::BuildGrpcTrailers(reason, {}, arena_, trailers);
    grpc_status_ = grpc::StatusIn(trailers);
    stream_->Finish(&trailers);
  } else {
    stream_->Abort();
  }
  Conclude(outcome, reason, response_->status);
}

void StreamDriver::ObserveContent() {
  const http::StreamState& state = *response_->stream;
  if (state.content_events == seen_content_events_) return;
  const MonoTime now = context_.loop.PreciseNow();
  if (seen_content_events_ == 0) {
    request_.record.first_content = state.first_content;
    context_.metrics.ObserveNanos(route_->metrics->ttft,
                                  state.first_content.nanos() - request_.received.nanos());
  } else {
    context_.metrics.ObserveNanos(route_->metrics->inter_token,
                                  now.nanos() - last_content_.nanos());
  }
  last_content_ = now;
  seen_content_events_ = state.content_events;
}

void StreamDriver::Conclude(StreamOutcome outcome, Reason reason, int status) {
  if (std::exchange(is_concluded_, true)) return;
  deadline_.Unlink();
  propagated_.reset();
  // The client left; whoever ends a tunnel otherwise has said so.
  if (tunnel_ != nullptr) {
    (void)tunnel_->End(metrics::TunnelEnd::kClientGone);
    tunnel_.reset();
  }
  const bool is_stream = response_.has_value() && response_->stream != nullptr;
  if (response_.has_value()) {
    if (status == 0 && stream_->is_head_sent()) status = response_->status;
    response_->EndStream(outcome);
    response_.reset();
  }
  const MonoTime now = context_.loop.PreciseNow();
  RecordConclusion(context_, {.request = request_,
                              .config = *snapshot_->config,
                              .route = route_,
                              .outcome = outcome,
                              .reason = reason,
                              .status = status,
                              .grpc_status = grpc_status_,
                              .is_stream = is_stream,
                              .answered = tunnel_started_ != MonoTime() ? tunnel_started_ : now,
                              .ended = now});
}

}  // namespace outrigger::chain
