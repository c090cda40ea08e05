// The mock AI service as an object: listeners, loop and connections.
//
//   absl::StatusOr<std::unique_ptr<Server>> server = Server::Create({.listen = "127.0.0.1:0"});
//   std::thread thread([&] { (*server)->Run(); });
//   ... talk to (*server)->listen_address() ...
//   (*server)->Stop();
//   thread.join();
//
// Run() is called once; everything but Stop(), Post() and the addresses belongs to the thread in Run().

#pragma once

#include <event2/event.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "tools/mock-ai/address.h"
#include "tools/mock-ai/connection.h"
#include "tools/mock-ai/service.h"

namespace outrigger::mock_ai {

struct ServerOptions {
  std::string listen = "127.0.0.1:8000";
  std::string admin;  // empty: no address of its own for the admin endpoints
  ServiceOptions service;
  ConnectionOptions connections;
  bool stops_on_signals = false;  // SIGTERM and SIGINT end Run()
  // What executes may finish first, as with the servers of AI frameworks; a second signal ends at
  // once.
  bool finishes_on_signals = false;
};

class Server : private ConnectionHost {
 public:
  // Listens when it returns. Errors name the address.
  static absl::StatusOr<std::unique_ptr<Server>> Create(ServerOptions options);
  ~Server() override;
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Returns after Stop() or a signal, with all connections closed.
  void Run();
  // From any thread.
  void Stop();
  // Runs `task` on the thread in Run(). From any thread. False when Run() has returned; a task that
  // was taken is run.
  bool Post(std::function<void(Service& service)> task);

  // With the real port.
  const std::string& listen_address() const { return listen_address_; }
  const std::string& admin_address() const { return admin_address_; }
  // After Run() only.
  std::string LedgerText() const;

 private:
  struct Listener {
    Server* server = nullptr;
    Address address;
    int fd = -1;
    event* accepts = nullptr;  // null while connections are refused
    bool is_admin = false;
  };

  explicit Server(ServerOptions options);

  absl::Status Setup();
  absl::Status StartListener(const std::string& text, bool is_admin, Listener& listener,
                             std::string& address);
  absl::Status BeginAccepting(Listener& listener);
  absl::Status SetListening(bool open, Service::Connections existing);
  static void OnAccept(evutil_socket_t, short, void* listener);
  static void OnResumeAccept(evutil_socket_t, short, void* server);
  static void OnSweep(evutil_socket_t, short, void* server);
  static void OnStop(evutil_socket_t, short, void* server);
  static void OnSignal(evutil_socket_t, short, void* server);
  static void OnPollIdle(evutil_socket_t, short, void* server);
  static void OnPosted(evutil_socket_t, short, void* server);
  void RunPosted(bool is_last);
  void Accept(Listener& listener);
  static void StopListener(Listener& listener);

  void OnClosed(uint64_t connection) override;
  std::string_view Date() override;

  const ServerOptions options_;
  std::string listen_address_;
  std::string admin_address_;
  event_base* base_ = nullptr;
  int stop_fd_ = -1;
  int post_fd_ = -1;
  std::vector<event*> events_;  // stop and signals, freed at the end
  event* sweep_ = nullptr;
  event* resume_accept_ = nullptr;
  event* poll_idle_ = nullptr;
  int idle_polls_ = -1;  // in a row; -1 before the first signal
  Listener main_;
  Listener admin_;
  Service service_;
  uint64_t next_connection_ = 1;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<uint64_t> closed_;
  int64_t date_second_ = -1;
  std::string date_;

  std::mutex mutex_;  // guards what follows
  std::vector<std::function<void(Service&)>> posted_;
  bool is_over_ = false;  // nothing is taken any more
};

}  // namespace outrigger::mock_ai
