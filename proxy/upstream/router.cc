#include "proxy/upstream/router.h"

#include <utility>

#include "proxy/coro/abortable.h"
#include "proxy/http/executed_guard.h"
#include "proxy/http1/serializer.h"
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
using http1::BodyFraming;
using http1::BodyKind;
using http1::ClientConnection;

namespace {

// How long a service may leave `Expect: 100-continue` unanswered before the body is sent anyway
// (RFC 9110, 10.1.1 asks not to wait for ever).
constexpr absl::Duration kContinueWait = absl::Seconds(1);

// For clients of HTTP/1.0 that name no host: HTTP/1.1 must have one, and not every service takes an
// empty one.
constexpr std::string_view kNamelessHost = "localhost";

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

  std::optional<ChunkResult> TryRead() override { return lease.connection().TryReadBody(); }
  Task<ChunkResult> Read() override { return lease.connection().ReadBody(); }
  const http::HeaderList* trailers() const override { return lease.connection().trailers(); }

  ConnectionLease lease;
  Task<void> pump;
  std::optional<Failure> pump_failure;
  // Told of the end; null: nobody is, or there was no connection.
  RouterObserver* observer = nullptr;
  const EventLoop* loop = nullptr;
  MonoTime started;
};

namespace {

BodyFraming FramingOf(const Request& request) {
  if (request.body == nullptr) {
    // A length of zero that the client stated is stated again: some services ask for it.
    const bool states_zero = request.body_length.has_value();
    return states_zero ? BodyFraming{BodyKind::kLength, 0} : BodyFraming{};
  }
  if (request.body_length.has_value()) return {BodyKind::kLength, *request.body_length};
  return {BodyKind::kChunked, 0};
}

bool SendPiece(ClientConnection& connection, BodyKind kind, std::string_view data) {
  if (kind == BodyKind::kLength) return connection.Send(data);
  if (data.empty()) return true;
  char* at = connection.output().Reserve(http1::kMaxChunkHeaderBytes);
  http1::ByteSink sink{at, at + http1::kMaxChunkHeaderBytes};
  (void)http1::WriteChunkHeader(sink, data.size());  // the room is there
  connection.output().Commit(static_cast<size_t>(sink.at - at));
  return connection.Send(data, http1::kChunkEnd);
}

bool SendEnd(ClientConnection& connection, BodyKind kind, const http::HeaderList* trailers) {
  if (kind == BodyKind::kLength) return true;
  static const http::HeaderList kNoTrailers;
  const http::HeaderList& fields = trailers != nullptr ? *trailers : kNoTrailers;
  const size_t room = http1::MaxHeadBytes(std::string_view(), fields, {});
  char* at = connection.output().Reserve(room);
  http1::ByteSink sink{at, at + room};
  if (http1::WriteLastChunk(sink, fields) != http1::WriteResult::kOk) return false;
  connection.output().Commit(static_cast<size_t>(sink.at - at));
  return connection.Send({});
}

// Sends the body beside the wait for the answer. Failures of the connection are left to the reader
// of the answer; a body that fails ends the attempt, because the service would wait for the rest.
Task<void> PumpBody(EventLoop& loop, Request& request, Exchange& exchange, BodyKind kind,
                    bool waits_for_continue) {
  ClientConnection& connection = exchange.lease.connection();
  if (waits_for_continue) {
    SignalTimer give_up(loop, connection.continued());
    give_up.Arm(loop.Now() + kContinueWait);
    co_await connection.continued().Wait();
    if (connection.has_final_head()) co_return;
  }
  for (;;) {
    ChunkResult chunk = co_await request.body->Read();
    if (!chunk.ok()) {
      exchange.pump_failure = chunk.error();
      connection.AbortExchange();
      co_return;
    }
    request.record.request_bytes += chunk->data.size();
    if (!SendPiece(connection, kind, chunk->data)) co_return;
    if (chunk->is_last) break;
    while (connection.output().pending_bytes() > 0) co_await connection.drained().Wait();
  }
  if (!SendEnd(connection, kind, request.body->trailers())) co_return;
  while (connection.output().pending_bytes() > 0) co_await connection.drained().Wait();
  connection.SetRequestComplete();
}

}  // namespace

Task<Result> Router::Call(Request& request, chain::Next) {
  ++request.record.attempts;
  Upstream::Need need{.must_be_new = request.needs_new_connection,
                      .may_run_twice = request.effects != http::Effects::kUnsafe};
  for (;;) {
    request.record.upstream_started = loop_.PreciseNow();
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
    ClientConnection& connection = exchange->lease.connection();
    if (observer_ != nullptr && connection.exchanges() == 0) {
      observer_->OnConnected(exchange->started, loop_.PreciseNow());
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
    Expected<ClientConnection::Head, Failure> head =
        co_await connection.ReadHead(response.headers, request.informational);
    guard.Disarm();
    if (exchange->pump_failure.has_value()) {
      Failure failure = *exchange->pump_failure;
      failure.executed = Executed::kMaybe;
      co_return failure;
    }
    if (head.ok()) {
      ObserveHead(request, *head, *exchange, response);
      response.body = std::move(exchange);
      co_return response;
    }
    const bool is_whole = request.body == nullptr || request.body->Peek().has_value();
    if (!head.error().on_reused_connection || !need.may_run_twice || !is_whole) {
      co_return head.error();
    }
    // Free, and once: a new connection cannot fail for this reason.
    need.must_be_new = true;
  }
}

std::optional<Failure> Router::Send(Request& request, Exchange& exchange) {
  ClientConnection& connection = exchange.lease.connection();
  connection.StartExchange(request.method);
  const BodyFraming framing = FramingOf(request);
  const std::optional<std::string_view> whole =
      request.body != nullptr ? request.body->Peek() : std::optional<std::string_view>("");
  const bool waits_for_continue = request.expects_continue && !whole.has_value();
  UpstreamFields fields;
  BuildUpstreamFields(request, loop_.Now(), via_name_, waits_for_continue, fields);
  const http1::RequestLine line{request.method_name, request.target, {}};
  http1::HeadOptions options;
  options.skipped = fields.skipped;
  options.extra = &fields.added;
  // HTTP/1.0 clients may leave Host out; HTTP/1.1 services must get one.
  if (!request.headers.ids().Contains(HeaderId::kHost)) {
    options.host = request.authority.empty() ? kNamelessHost : request.authority;
  }
  const size_t room = http1::MaxHeadBytes(line, request.headers, options);
  char* at = connection.output().Reserve(room);
  http1::ByteSink sink{at, at + room};
  if (http1::WriteRequestHead(sink, line, request.headers, framing, options) !=
      http1::WriteResult::kOk) {
    return Failure{.reason = Reason::kBadRequest};
  }
  connection.output().Commit(static_cast<size_t>(sink.at - at));
  request.was_dispatched = true;
  if (whole.has_value()) {
    request.record.request_bytes = whole->size();
    connection.SetRequestComplete();
    connection.Send(*whole);
  } else {
    connection.Send({});
    request.record.request_bytes = 0;
    exchange.pump = PumpBody(loop_, request, exchange, framing.kind, waits_for_continue);
    exchange.pump.Start();
  }
  return std::nullopt;
}

void Router::ObserveHead(Request& request, const ClientConnection::Head& head,
                         const Exchange& exchange, Response& response) {
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
  const BodyFraming& body = head.framing.body;
  response.has_body = body.has_body();
  response.is_framed = body.kind != BodyKind::kUntilClose;
  if (body.kind == BodyKind::kLength) {
    response.body_length = body.length;
  } else if (!body.has_body()) {
    response.body_length = head.framing.declared_length;
  }
}

}  // namespace outrigger::upstream
