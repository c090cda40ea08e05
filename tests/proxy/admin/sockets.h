// Blocking sockets on loopback for tests: clients, and servers that behave as told.

#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <string>
#include <string_view>
#include <thread>

#include "absl/time/time.h"

namespace outrigger::admin {

inline sockaddr_in LoopbackAddress(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

// A connected client whose calls give up after some seconds instead of hanging the test.
class Client {
 public:
  explicit Client(uint16_t port) : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    const timeval patience = {20, 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    const sockaddr_in address = LoopbackAddress(port);
    is_connected_ = connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  ~Client() { close(fd_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  bool is_connected() const { return is_connected_; }
  bool Send(std::string_view bytes) {
    return send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
           static_cast<ssize_t>(bytes.size());
  }
  // All that comes until the server closes.
  std::string ReadToEnd() {
    std::string text;
    char buffer[4096];
    for (ssize_t n; (n = recv(fd_, buffer, sizeof(buffer), 0)) > 0;) {
      text.append(buffer, static_cast<size_t>(n));
    }
    return text;
  }
  // Whether anything has come, or the server closed.
  bool HasAnswerWithin(absl::Duration time) {
    pollfd waited = {fd_, POLLIN, 0};
    return poll(&waited, 1, static_cast<int>(absl::ToInt64Milliseconds(time))) == 1;
  }
  // Up to and including `end`, or what there is when the server closes before.
  std::string ReadThrough(std::string_view end) {
    std::string text;
    for (char c; !text.ends_with(end) && recv(fd_, &c, 1, 0) == 1;) text += c;
    return text;
  }

 private:
  int fd_;
  bool is_connected_ = false;
};

// Accepts connections one after another and gives each the same treatment.
class ScriptedServer {
 public:
  enum class Act { kAnswer, kStall, kCloseAtOnce };

  ScriptedServer(Act act, std::string answer) : act_(act), answer_(std::move(answer)) {
    listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address = LoopbackAddress(0);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    socklen_t size = sizeof(address);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~ScriptedServer() {
    shutdown(listener_, SHUT_RDWR);
    thread_.join();
    close(listener_);
  }

  uint16_t port() const { return port_; }
  std::string endpoint() const { return "127.0.0.1:" + std::to_string(port_); }
  int connections() const { return connections_.load(); }
  // The head of the latest request. Call when the server answers no more.
  const std::string& last_request() const { return last_request_; }

 private:
  void Run() {
    for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; close(fd)) {
      connections_.fetch_add(1);
      if (act_ == Act::kCloseAtOnce) continue;
      std::string request;
      for (char c; !request.ends_with("\r\n\r\n") && recv(fd, &c, 1, 0) == 1;) request += c;
      last_request_ = request;
      if (act_ == Act::kAnswer) {
        send(fd, answer_.data(), answer_.size(), MSG_NOSIGNAL);
        // Closing with unread bytes would be a reset.
        shutdown(fd, SHUT_WR);
      }
      // Until the client goes, or gives up.
      for (char c; recv(fd, &c, 1, 0) == 1;) {
      }
    }
  }

  const Act act_;
  const std::string answer_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<int> connections_{0};
  std::string last_request_;
  std::thread thread_;
};

}  // namespace outrigger::admin
