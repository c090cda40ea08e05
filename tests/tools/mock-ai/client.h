// A small blocking HTTP client and a server in a thread, for tests of the mock service.
//
//   TestServer server;
//   Client client(server.address());
//   Reply reply = client.Post("/v1/chat/completions", R"({"messages":[1]})");
//
// Unlike a real client it reports how an answer ended instead of hiding it.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tools/mock-ai/http_request.h"
#include "tools/mock-ai/server.h"

namespace outrigger::mock_ai {

// How an answer ended. kSilent: nothing came for as long as the client waits.
enum class End { kComplete, kClosed, kReset, kSilent, kMalformed };

struct Reply {
  End end = End::kSilent;
  int status = 0;
  std::string version;
  std::vector<int> informational;
  std::vector<Header> headers;
  std::vector<Header> trailers;
  std::string body;
  size_t chunks = 0;

  std::string Find(std::string_view name) const;
};

class Client {
 public:
  explicit Client(std::string_view address);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool is_connected() const { return is_connected_; }
  // How long to wait for bytes that may never come; 5 s unless set.
  void SetPatience(absl::Duration patience);
  void Send(std::string_view bytes);
  // Closes the sending half.
  void FinishSending();
  Reply ReadReply(bool is_head = false);
  // Everything until the connection ends.
  Reply ReadRaw();
  // What is there, or comes next; empty at the end.
  std::string ReadSome();
  // True when the server has closed, false when nothing came.
  bool IsClosedByServer();

  Reply Get(std::string_view target, std::string_view extra_headers = "");
  Reply Post(std::string_view target, std::string_view body, std::string_view extra_headers = "");

 private:
  // False at the end, which is noted in `reply`.
  bool Fill(Reply& reply);
  bool ReadUntil(std::string_view mark, std::string& into, Reply& reply);
  bool ReadBytes(size_t count, std::string& into, Reply& reply);
  bool ReadHead(Reply& reply);
  void ReadChunked(Reply& reply);

  int fd_ = -1;
  bool is_connected_ = false;
  std::string buffer_;
};

class TestServer {
 public:
  // Port 0 on loopback and no token times unless the options say otherwise.
  explicit TestServer(ServerOptions options = DefaultOptions());
  ~TestServer();

  static ServerOptions DefaultOptions();
  const std::string& address() const { return server_->listen_address(); }
  const std::string& admin() const { return server_->admin_address(); }

  // One call on a connection of its own.
  Json Ledger(std::string_view id) const;
  // Asks until the ledger's entry of that id has `count` in `field`; false after 5 s.
  bool WaitForLedger(std::string_view id, std::string_view field, int64_t count) const;

 private:
  std::unique_ptr<Server> server_;
  std::thread thread_;
};

}  // namespace outrigger::mock_ai
