// One request of a check to the service and the status of its answer, over HTTP/1.1, HTTP/2 or
// gRPC, with or without TLS.
//
//   CheckExchange exchange(base, fd, nullptr, {.path = "/health", .authority = "app:80"}, {},
//                          [](CheckResult result) { ... });
//
// Takes a connected descriptor. The verdict is told once, not from the constructor, as soon as it
// is known: a status from 200 to 399 is success, or, where the whole answer is wanted, one from 200
// to 299 and a body that came to its end. What the service sends after that is read and dropped, so
// that it does not see a reset. The owner ends the exchange by destroying it, not from within the
// callback. There is no deadline in it.
//
// One thread, that of `base`.

#pragma once

#include <event2/event.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/admin/app_health.h"
#include "proxy/admin/loop.h"
#include "proxy/net/secure_session.h"

namespace outrigger::admin {

class CheckProtocol;

struct CheckQuestion {
  std::string path;
  std::string authority;
  bool is_http2 = false;
  // Asks grpc.health.v1.Health for this service instead; empty: for the server as a whole.
  // REQUIRES: is_http2.
  std::optional<std::string> grpc_service;
  // HTTP/1.1: header fields in place of ours, Host among them, each with its end of line.
  std::string fields;

  // Of a question that wants the whole answer; any other is a GET.
  bool wants_whole_answer = false;
  std::string method = "GET";
  std::string content_type;  // of the body
  std::string body;
  std::vector<std::pair<std::string, std::string>> extra_fields;  // names in lower case
};

class CheckExchange {
 public:
  using OnResult = std::function<void(CheckResult result)>;

  // `session` null: plain. `handshake_error` says afterwards why a handshake failed.
  CheckExchange(event_base* base, int fd, std::unique_ptr<net::SecureSession> session,
                const CheckQuestion& question, std::function<std::string()> handshake_error,
                OnResult on_result);
  ~CheckExchange();
  CheckExchange(const CheckExchange&) = delete;
  CheckExchange& operator=(const CheckExchange&) = delete;

 private:
  static void OnEvent(evutil_socket_t fd, short what, void* self);

  void Advance();
  // False: not done yet, or failed.
  bool Handshake();
  void Send();
  void Receive();
  net::IoResult ReceiveSome(char* data, size_t size);
  net::IoResult SendSome();
  void Conclude(CheckResult result);
  // The connection has ended, or is of no use any more.
  void Stop();
  void Register();

  event_base* const base_;
  const int fd_;
  std::unique_ptr<net::SecureSession> session_;
  const std::unique_ptr<CheckProtocol> protocol_;
  const std::function<std::string()> handshake_error_;
  const OnResult on_result_;
  EventPtr event_;
  short awaited_ = 0;
  std::string unsent_;
  size_t received_ = 0;
  bool is_concluded_ = false;
  bool is_stopped_ = false;
};

}  // namespace outrigger::admin
