// Any frames from a service that speaks HTTP/2, into the client side of a connection that waits for
// the answers to four requests. The input is what follows the service's SETTINGS; it decides in
// which pieces it arrives and which request is given up meanwhile.
//
// Whatever comes: an answer that is passed on has a status and fields that HTTP/1.1 could carry, a
// body that ends well has the length that was announced, and nothing is left when the service has
// gone.

#include <event2/event.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/base/random.h"
#include "proxy/event/event_loop.h"
#include "proxy/http1/chars.h"
#include "proxy/http1/framing.h"
#include "proxy/http2/client_connection.h"
#include "tests/fuzz/listener.h"

namespace outrigger {
namespace {

using fuzz::Require;
using http::Method;
using http2::ClientConnection;

constexpr size_t kBudgetBytes = 64 << 20;
// What the pool keeps for the next connection.
constexpr size_t kKeptBytes = 4 << 20;
constexpr int kTurns = 200;
// SETTINGS that allow tunnels, so that one can be asked for.
constexpr std::string_view kSettings("\0\0\x06\x04\0\0\0\0\0\0\x08\0\0\0\x01", 15);

void CheckFields(const http::HeaderList& headers) {
  for (const http::HeaderField& field : headers) {
    Require(http1::IsToken(field.name), "a field's name is not a token");
    Require(http1::IsFieldValue(field.value), "a field's value would end the field");
  }
}

// One request and what comes of it.
class Exchange final : public http::InformationalSink {
 public:
  Exchange(ClientConnection& connection, Method method, bool has_body, bool asks_for_tunnel)
      : stream_(connection.NewStream()), asks_for_tunnel_(asks_for_tunnel) {
    http::RequestHeadToSend head;
    head.method = method;
    head.method_name = http::MethodName(method);
    head.target = "/x";
    head.scheme = "http";
    head.authority = "a";
    head.headers = &none_;
    head.has_body = has_body;
    if (asks_for_tunnel) head.upgrade = "websocket";
    Require(stream_->SendHead(head), "the request cannot be sent");
    if (has_body) {
      (void)stream_->SendData("hello");
      (void)stream_->Finish(nullptr);
    }
    task_ = Run(method);
    task_.Start();
  }
  ~Exchange() override { task_.Reset(); }

  void OnInformational(int status, const http::HeaderList& headers) override {
    Require(status >= 100 && status < 200 && status != 101, "a final answer among interim ones");
    CheckFields(headers);
  }

 private:
  Task<void> Run(Method method) {
    http::HeaderList headers;
    auto answer = co_await stream_->ReadHead(headers, this);
    if (!answer.ok()) co_return;
    const http::ReceivedHead head = answer.value();
    const bool is_tunnel = head.status == 101;
    Require(is_tunnel ? asks_for_tunnel_ : head.status >= 200 && head.status <= 599,
            "a status that is none");
    CheckFields(headers);
    Require(!(method == Method::kHead && head.has_body), "HEAD has a body");
    if (!head.has_body) co_return;
    uint64_t bytes = 0;
    for (;;) {
      http::ChunkResult chunk = co_await stream_->ReadBody();
      if (!chunk.ok()) co_return;
      bytes += chunk->data.size();
      if (is_tunnel) (void)stream_->SendData(chunk->data);
      if (chunk->is_last) break;
    }
    Require(is_tunnel || !head.body_length.has_value() || *head.body_length == bytes,
            "a body of another length ends well");
    if (stream_->trailers() != nullptr) CheckFields(*stream_->trailers());
  }

  const http::HeaderList none_;
  http2::ClientStreamPtr stream_;
  const bool asks_for_tunnel_;
  Task<void> task_;
};

class Service final : private ClientConnection::Owner {
 public:
  ~Service() override { loop_.RunPending(); }

  void Feed(std::string_view bytes, uint64_t seed) {
    Random random(seed);
    int fds[2];
    Require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0,
            "no pair");
    const size_t before = budget_.used_bytes();
    connection_ =
        new ClientConnection(loop_, pool_, fds[0], {never_, never_, never_, never_}, plain_, *this);
    Send(fds[1], kSettings);
    for (int turn = 0; turn < kTurns && !connection_->is_open(); ++turn) Turn(fds[1]);
    Require(connection_->is_open(), "the settings are not understood");
    std::array<std::optional<Exchange>, 4> exchanges;
    exchanges[0].emplace(*connection_, Method::kGet, false, false);
    exchanges[1].emplace(*connection_, Method::kPost, true, false);
    exchanges[2].emplace(*connection_, Method::kHead, false, false);
    exchanges[3].emplace(*connection_, Method::kGet, false, true);
    Turn(fds[1]);
    while (!bytes.empty() && connection_ != nullptr) {
      const size_t most = random.Below(4) == 0 ? 1 + random.Below(16) : 1 + random.Below(4096);
      const std::string_view piece = bytes.substr(0, std::min(most, bytes.size()));
      const size_t sent = Send(fds[1], piece);
      if (sent == 0 && errno != EAGAIN) break;
      bytes.remove_prefix(sent);
      Turn(fds[1]);
      if (random.Below(16) == 0) exchanges[random.Below(exchanges.size())].reset();
    }
    for (int turn = 0; turn < 8; ++turn) Turn(fds[1]);
    close(fds[1]);
    for (int turn = 0; connection_ != nullptr && turn < kTurns; ++turn) RunTurn();
    Require(connection_ == nullptr, "the connection does not end");
    for (std::optional<Exchange>& exchange : exchanges) exchange.reset();
    loop_.RunPending();
    Require(budget_.used_bytes() <= before + kKeptBytes, "memory is left");
  }

 private:
  // ClientConnection::Owner
  void OnOpen(ClientConnection&) override {}
  void OnChange(ClientConnection&) override {}
  void OnEnd(ClientConnection&, ClientConnection::End) override { connection_ = nullptr; }

  static size_t Send(int fd, std::string_view bytes) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return sent > 0 ? static_cast<size_t>(sent) : 0;
  }
  void RunTurn() {
    loop_.RunOnce();
    loop_.RunPending();
  }
  void Turn(int fd) {
    RunTurn();
    char buffer[16 * 1024];
    while (recv(fd, buffer, sizeof buffer, 0) > 0) continue;
  }

  EventLoop loop_;
  MemoryBudget budget_{kBudgetBytes};
  net::BufferPool pool_{budget_};
  DeadlineQueue never_{loop_, absl::Hours(1)};
  const ClientConnection::NewSession plain_;
  ClientConnection* connection_ = nullptr;
};

}  // namespace
}  // namespace outrigger

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static auto* const service = new outrigger::Service;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  service->Feed(bytes, std::hash<std::string_view>()(bytes));
  return 0;
}
