// Two ends of one TLS connection in one loop.

#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/net/socket.h"
#include "proxy/tls/client_context.h"
#include "proxy/tls/server_context.h"
#include "tests/proxy/net/support.h"
#include "tests/proxy/tls/authority.h"

namespace outrigger::tls {

struct RecordingObserver final : SessionObserver {
  void OnHandshake(HandshakeOutcome outcome, std::string_view detail, int) override {
    outcomes.push_back(outcome);
    details.emplace_back(detail);
  }

  std::vector<HandshakeOutcome> outcomes;
  std::vector<std::string> details;
};

// A socket that collects what it receives and sends what it is given.
struct End final : net::SocketHandler {
  End(EventLoop& loop, int fd) : socket(loop, fd, *this) {}

  void OnReadable() override {
    if (has_no_room) {
      socket.PauseReading();
      return;
    }
    std::string buffer(read_bytes, '\0');
    const net::IoResult result = socket.Receive(buffer.data(), buffer.size());
    if (result.status == net::IoStatus::kOk) received.append(buffer, 0, result.bytes);
    if (result.status == net::IoStatus::kEnd) has_ended = true;
    if (result.status == net::IoStatus::kError) has_failed = true;
    if (has_ended || has_failed) socket.PauseReading();
  }
  void OnWritable() override {
    while (!unsent.empty()) {
      const net::IoResult result = socket.Send(unsent);
      if (result.status != net::IoStatus::kOk) break;
      unsent.erase(0, result.bytes);
    }
    socket.WantWrite(!unsent.empty());
  }
  void OnPeerClosed() override { is_peer_closed = true; }
  void OnSecured() override { is_secured = true; }

  net::Socket socket;
  bool has_no_room = false;  // pauses in place of reading
  size_t read_bytes = 16384;
  std::string received;
  std::string unsent;
  bool has_ended = false;
  bool has_failed = false;
  bool is_peer_closed = false;
  bool is_secured = false;
};

class TlsPairTest : public testing::Test {
 protected:
  TlsPairTest() {
    ca_path_ = folder_.Write("ca.crt", ca_.cert());
    server_options_.files = Place("server", ca_.Issue({}));
    client_options_.files.ca = ca_path_;
  }

  Files Place(const std::string& name, const Issued& issued) {
    return {.cert = folder_.Write(name + ".crt", issued.cert),
            .key = folder_.Write(name + ".key", issued.key)};
  }
  void ShowClientCertificate(const Issued& issued) {
    client_options_.files = Place("client", issued);
    client_options_.files.ca = ca_path_;
  }
  void AskForCertificates(ClientAuth auth, std::vector<std::string> rules = {}) {
    server_options_.client_auth = auth;
    server_options_.files.ca = ca_path_;
    for (const std::string& rule : rules) {
      server_options_.allowed.push_back(SanRule::Parse(rule).value());
    }
  }

  // Both ends, in the middle of the handshake.
  void Open(int send_buffer_bytes = 0, std::string_view host = "localhost") {
    if (server_context_ == nullptr) {
      server_context_ = std::make_unique<ServerContext>(server_options_);
      client_context_ = std::make_unique<ClientContext>(client_options_);
      ASSERT_TRUE(server_context_->Load().ok());
      ASSERT_TRUE(client_context_->Load().ok());
    }
    net::Connected pair = net::UnixPair(send_buffer_bytes);
    server_.emplace(loop_, pair.ours);
    client_.emplace(loop_, pair.peer.Release());
    server_->socket.StartTls(server_context_->NewSession(server_->socket.fd(), server_observer_),
                             false);
    client_->socket.StartTls(
        client_context_->NewSession(client_->socket.fd(), host, client_observer_), true);
  }
  bool Handshake() {
    return net::RunUntil(loop_,
                         [this] {
                           return (server_->is_secured || server_->has_failed) &&
                                  (client_->is_secured || client_->has_failed);
                         }) &&
           server_->is_secured && client_->is_secured;
  }

  EventLoop loop_;
  const Authority ca_{"ca"};
  const Folder folder_;
  std::string ca_path_;
  ServerOptions server_options_;
  ClientOptions client_options_;
  std::unique_ptr<ServerContext> server_context_;
  std::unique_ptr<ClientContext> client_context_;
  RecordingObserver server_observer_;
  RecordingObserver client_observer_;
  std::optional<End> server_;
  std::optional<End> client_;
};

}  // namespace outrigger::tls
