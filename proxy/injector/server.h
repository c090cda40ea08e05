// The port of the injector: HTTP/1.1 over TLS, on the data path's own codec.
//
//   Server server(loop, pool, {.tls = context, .webhook = webhook, ...});
//   absl::StatusOr<net::SocketAddress> address = server.Listen("0.0.0.0:8443");
//   ...
//   server.RefuseNew();              // when the process ends
//   server.CloseAll();
//
// Clients are not trusted: heads and bodies are bounded, each step has a deadline, there are at
// most 256 connections, and when there are as many, those that are idle give way to newcomers. One
// thread; outlives its connections.

#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proxy/base/intrusive_list.h"
#include "proxy/event/deadline_queues.h"
#include "proxy/http/downstream_connection.h"
#include "proxy/http1/server_context.h"
#include "proxy/injector/request_handler.h"
#include "proxy/net/listener.h"
#include "proxy/tls/server_context.h"

namespace outrigger::injector {

class Server final : private http::StreamHandlerFactory {
 public:
  struct Parts {
    const tls::ServerContext& tls;
    tls::SessionObserver& handshakes;
    Webhook& webhook;
    log::Logger& log;
  };

  Server(EventLoop& loop, net::BufferPool& pool, const Parts& parts);
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // With the port that was chosen for 0. Errors: name the address.
  absl::StatusOr<net::SocketAddress> Listen(const std::string& address);
  // Answers say that the connection closes.
  void BeginDrain() { is_draining_ = true; }
  // No new connections; idle ones are closed.
  void RefuseNew();
  // Ends what runs, with an answer where there was none yet.
  void CloseAll();
  bool is_idle() const { return handler_context_.active == 0; }

 private:
  void OnAccept(int fd, const net::SocketAddress& peer);

  // http::StreamHandlerFactory
  std::unique_ptr<http::StreamHandler> NewHandler() override;
  Rejection Reject(http::Reason reason, std::string_view detail, bool is_grpc, Arena& arena,
                   http::HeaderList& headers) override;
  bool is_draining() const override { return is_draining_; }

  EventLoop& loop_;
  const Parts parts_;
  DeadlineQueues timeouts_;
  HandlerContext handler_context_;
  http1::ServerContext context_;
  std::unique_ptr<net::Listener> listener_;
  size_t connection_count_ = 0;
  IntrusiveList<http::DownstreamConnection::Membership> connections_;
  bool is_draining_ = false;
};

}  // namespace outrigger::injector
