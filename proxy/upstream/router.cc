#include "proxy/upstream/router.h"

#include <utility>

#include "proxy/coro/abortable.h"
#include "proxy/http/executed_guard.h"
#include "proxy/upstream/endpoint.h"
#include "proxy/upstream/upstream_headers.h"

namespace outrigger::upstream {

using http::ChunkResult;
using http::Executed;
using http::Failure;
using http::HeaderId;
using http::Phase;
using http::Reason;
using http::Request;
using http::Response;
using http::Result;

namespace {

// How long a service may leave `Expect: 100-continue` unanswered before the body is sent anyway
// (RFC 9110, 10.1.1 asks not to wait for ever).
constexpr absl::Duration kContinueWait = absl::Seconds(1);
constexpr std::string_view kNoHttp2 =
    "gRPC needs HTTP/2, and the upstream is configured with protocol http1";

constexpr std::string_view kNoTunnels =
    "the service speaks HTTP/2 without extended CONNECT (RFC 8441)";

}  // namespace

// What an attempt holds: the connection, and the pump of a body that is still being sent. Once the
// head has come it is the response's body, and also without a body what the head's views live by.
class Exchange final : public http::Body {
 public:
  // The pump goes first.
  ~Exchange() override {
    pump.Reset();
    if (observer != nullptr) observer->OnEnd(started, loop->PreciseNow());
  }

  std::optional<ChunkResult> TryRead() override { return lease.stream().TryReadBody(); }
  Task<ChunkResult> Read() override { return lease.stream().ReadBody(); }
  const http::HeaderList* trailers() const override { return lease.stream().trailers(); }

  ConnectionLease lease;
  Task<void> pump;
  std::optional<Failure> pump_failure;
  // Told of the end; null: nobody is, or there was no connection.
  RouterObserver* observer = nullptr;
  const EventLoop* loop = nullptr;
  MonoTime started;
};

namespace {

// Sends the body beside the wait for the answer. Failures of the connection are left to the reader
// of the answer; a body that fails ends the attempt, because the service would wait for the rest.
Task<void> PumpBody(EventLoop& loop, Request& request, Exchange& exchange,
                    bool waits_for_continue) {
  http::ClientStream& stream = exchange.lease.stream();
  if (waits_for_continue) {
    SignalTimer give_up(loop, stream.continued());
    give_up.Arm(loop.Now() + kContinueWait);
    co_await stream.continued().Wait();
    if (stream.has_final_head()) co_return;
  }
  for (;;) {
    ChunkResult chunk = co_await request.body->Read();
    if (!chunk.ok()) {
      exchange.pump_failure = chunk.error();
      stream.Abort();
      co_return;
    }
    request.record.request_bytes += chunk->data.size();
    if (!stream.SendData(chunk->data)) co_return;
    if (chunk->is_last) break;
    while (stream.pending_bytes() > 0) co_await stream.drained().Wait();
  }
  stream.Finish(request.body->trailers());
  request.is_sent_whole = true;
}

}  // namespace

Task<Result> Router::Call(Request& request, chain::Next) {
  if (request.is_grpc && upstream_.options().protocol != Protocol::kHttp2) {
    co_return Failure{.reason = Reason::kNoRoute, .detail = kNoHttp2};
  }
  ++request.record.attempts;
  Upstream::Need need{.must_be_new = request.needs_new_connection,
                      .may_run_twice = request.effects != http::Effects::kUnsafe};
  for (;;) {
    request.record.upstream_started = loop_.PreciseNow();
    request.record.upstream_connected = MonoTime();
    request.record.upstream_head = MonoTime();
    request.record.upstream_status = 0;
    auto exchange = std::make_unique<Exchange>();
    std::optional<ConnectionLease> kept = upstream_.TryReuse(need);
    if (kept.has_value()) {
      exchange->lease = std::move(*kept);
    } else {
      Expected<ConnectionLease, Failure> made = co_await upstream_.Connect(need);
      if (!made.ok()) co_return made.error();
      exchange->lease = std::move(made).value();
    }
    exchange->observer = observer_;
    exchange->loop = &loop_;
    exchange->started = request.record.upstream_started;
    if (!exchange->lease.is_reused()) {
      const MonoTime now = loop_.PreciseNow();
      request.record.upstream_connected = now;
      if (observer_ != nullptr) observer_->OnConnected(exchange->started, now);
    }

    if (!request.upgrade.empty() && !exchange->lease.stream().allows_tunnels()) {
      co_return Failure{.reason = Reason::kNotImplemented, .detail = kNoTunnels};
    }

    // Not before there is a connection: what could not be sent leaves no mark (B0.1).
    while (!request.dispatch_hooks.empty()) {
      http::DispatchHook& hook = request.dispatch_hooks.front();
      hook.Unlink();
      std::optional<Failure> refused = co_await hook.BeforeDispatch(request);
      if (refused.has_value()) co_return *refused;
    }
    const std::optional<Failure> unsent = Send(request, *exchange);
    if (unsent.has_value()) co_return *unsent;

    http::ExecutedGuard guard(request);
    Response response;
    http::ClientStream& stream = exchange->lease.stream();
    Expected<http::ReceivedHead, Failure> head =
        co_await stream.ReadHead(response.headers, request.informational);
    guard.Disarm();
    if (exchange->pump_failure.has_value()) {
      Failure failure = *exchange->pump_failure;
      failure.executed = Executed::kMaybe;
      co_return failure;
    }
    if (head.ok()) {
      ObserveHead(request, *head, *exchange, response);
      if (head->status == 101) {
        response.tunnel = &stream;
      } else if (!request.upgrade.empty()) {
        stream.Finish(nullptr);  // refused: an ordinary answer to an ordinary request
      }
      response.body = std::move(exchange);
      co_return response;
    }
    const bool is_whole = request.body == nullptr || request.body->Peek().has_value();
    // What a GOAWAY says was not processed is left to the retry filter, of any method.
    const bool is_goaway = head.error().executed == Executed::kNo;
    if (!head.error().on_reused_connection || is_goaway || !need.may_run_twice || !is_whole) {
      co_return head.error();
    }
    // Free, and once: a new connection cannot fail for this reason.
    need.must_be_new = true;
  }
}

std::optional<Failure> Router::Send(Request& request, Exchange& exchange) {
  http::ClientStream& stream = exchange.lease.stream();
  const std::optional<std::string_view> whole =
      request.body != nullptr ? request.body->Peek() : std::optional<std::string_view>("");
  const bool waits_for_continue = request.expects_continue && !whole.has_value();
  UpstreamFields fields;
  BuildUpstreamFields(request, loop_.Now(), via_name_, waits_for_continue, fields);
  http::RequestHeadToSend head;
  head.method = request.method;
  head.method_name = request.method_name;
  head.target = request.target;
  head.scheme = request.scheme;
  head.authority = request.authority;
  head.headers = &request.headers;
  head.skipped = fields.skipped;
  head.added = &fields.added;
  head.upgrade = request.upgrade;
  // A call without messages ends by an empty DATA frame, never by its head (gRPC over HTTP/2,
  // "Requests"); a server of grpc-go would wait for it.
  head.has_body = request.body != nullptr || request.is_grpc;
  // Without a body, a zero that the client stated is stated again: some services ask for it.
  head.body_length = head.has_body || !request.body_length.has_value() ? request.body_length
                                                                       : std::optional<uint64_t>(0);
  if (!stream.SendHead(head)) return Failure{.reason = Reason::kBadRequest};
  request.was_dispatched = true;
  if (!request.upgrade.empty()) return std::nullopt;
  if (whole.has_value()) {
    request.record.request_bytes = whole->size();
    stream.SendData(*whole);
    stream.Finish(nullptr);
    request.is_sent_whole = true;
  } else {
    request.record.request_bytes = 0;
    request.is_sent_whole = false;
    exchange.pump = PumpBody(loop_, request, exchange, waits_for_continue);
    exchange.pump.Start();
  }
  return std::nullopt;
}

void Router::ObserveHead(Request& request, const http::ReceivedHead& head, const Exchange& exchange,
                         Response& response) {
  const MonoTime now = loop_.PreciseNow();
  request.record.upstream_head = now;
  request.record.upstream_status = head.status;
  if (observer_ != nullptr) observer_->OnHead(exchange.started, now);
  upstream_.shared().last_byte_nanos.store(now.nanos(), std::memory_order_relaxed);
  if (const http::HeaderField* keep_alive = response.headers.Find(HeaderId::kKeepAlive)) {
    exchange.lease.endpoint().idle_limit().OnKeepAliveHeader(keep_alive->value);
  }
  StripResponseHeaders(response.headers);
  response.status = head.status;
  response.has_body = head.has_body;
  response.is_framed = head.is_framed;
  response.body_length = head.body_length;
}

}  // namespace outrigger::upstream
