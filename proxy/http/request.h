// A request on its way through the filter chain.
//
// The stream driver fills it before the chain runs: route, effects, tenant, deadline and ids are
// set then and do not change. Filters may replace `body` by their own around it, add fields to
// `upstream_headers` and `response_headers`, and write their verdicts into `record`.
//
// Views point into the connection's read buffer or into `arena`; both outlive the request's task.
// A request that must outlive its connection (one with an idempotency key) is moved into an owned
// arena with Detach() before the first wait. One worker.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "proxy/base/arena.h"
#include "proxy/base/intrusive_list.h"
#include "proxy/base/time.h"
#include "proxy/http/body.h"
#include "proxy/http/failure.h"
#include "proxy/http/headers.h"
#include "proxy/http/method.h"
#include "proxy/http/request_record.h"

namespace outrigger::http {

// Passes 1xx responses other than 100 to the client (PR-10).
class InformationalSink {
 public:
  virtual ~InformationalSink() = default;
  virtual void OnInformational(int status, const HeaderList& headers) = 0;
};

struct Request;

enum class Protocol : uint8_t { kHttp1, kHttp2 };

// "HTTP/1.1" or "HTTP/2".
std::string_view ProtocolName(Protocol protocol);

// Runs once, right before the first byte of the first attempt goes upstream (B0.1).
class DispatchHook : public ListNode {
 public:
  virtual ~DispatchHook() = default;
  // A failure refuses the dispatch: nothing is sent and the chain returns it.
  virtual Task<std::optional<Failure>> BeforeDispatch(Request& request) = 0;
};

struct Request {
  // As received.
  Method method = Method::kOther;
  std::string_view method_name;
  std::string_view target;  // what is forwarded, byte for byte
  std::string_view authority;
  HeaderList headers;
  std::unique_ptr<Body> body;           // null: no body
  std::optional<uint64_t> body_length;  // unset with a body: chunked
  bool expects_continue = false;
  // Asks for a tunnel of that protocol: a GET without a body, whatever it came as
  // (proxy/tunnel/upgrade.h). Empty: an ordinary request. Lives as long as the configuration.
  std::string_view upgrade;
  Protocol protocol = Protocol::kHttp1;  // of the client
  bool is_grpc = false;                  // a call of gRPC (proxy/grpc/call.h)
  std::string_view peer_address;         // of the other end of the connection, without the port
  std::string_view scheme = "http";
  // What the client has proven by TLS (proxy/net/secure_session.h); empty: nothing.
  std::string_view peer_identity;
  std::string_view peer_certificate;

  // Set by the driver.
  std::string_view path;   // normalised, without the query; for matching only (RU-5)
  std::string_view query;  // without '?'
  Effects effects = Effects::kUnsafe;
  std::string_view client_address;  // the peer, or whom trusted proxies in front name
  std::string_view tenant;          // stable for the caller; safe to log ("anonymous", or a hash)
  // It is a hash of a credential that nobody here has checked: anyone can make up more (LM-2).
  bool is_tenant_unverified = false;
  MonoTime received;  // precise clock
  MonoTime deadline = MonoTime::Infinite();
  std::string_view id;           // x-request-id
  std::string_view traceparent;  // of this hop, W3C form
  std::string_view trace_id;     // view into traceparent
  bool is_draining = false;

  // For filters and the router.
  HeaderList upstream_headers;  // added to what is sent upstream
  HeaderList response_headers;  // added to whatever answer the client gets
  IntrusiveList<DispatchHook> dispatch_hooks;
  InformationalSink* informational = nullptr;
  int attempt = 1;
  // The next attempt must not use a connection that was kept alive.
  bool needs_new_connection = false;
  // When a stream that this attempt opens must have shown its first content.
  MonoTime first_content_by = MonoTime::Infinite();
  // Some byte of some attempt has gone upstream.
  bool was_dispatched = false;
  // All of it was handed to the connection of this attempt: nothing more can be sent.
  bool is_sent_whole = false;
  // The maximum over the attempts so far (B0.2).
  Executed executed = Executed::kNo;
  RequestRecord record;

  // It has an idempotency record of its own: what happened to it outlives its answer (ID-6).
  bool has_record = false;

  Arena* arena = nullptr;
  // Keeps the filters alive that `next` leads to; set by the driver, for executions that outlive
  // the stream.
  std::shared_ptr<const void> chain_pin;

  // Copies every view that the request holds into `owned`, which becomes its arena.
  void Detach(Arena& owned);
};

}  // namespace outrigger::http
