#include "tests/tools/mock-ai/client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <utility>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "proxy/base/time.h"
#include "tools/mock-ai/address.h"
#include "tools/mock-ai/json_fields.h"

namespace outrigger::mock_ai {
namespace {

Header SplitField(std::string_view line) {
  const size_t colon = line.find(": ");
  if (colon == std::string_view::npos) return {};
  return {std::string(line.substr(0, colon)), std::string(line.substr(colon + 2))};
}

}  // namespace

std::string Reply::Find(std::string_view name) const {
  for (const Header& header : headers) {
    if (EqualsIgnoreCase(header.name, name)) return header.value;
  }
  return "";
}

Client::Client(std::string_view address) {
  const absl::StatusOr<Address> parsed = ParseAddress(address);
  if (!parsed.ok()) return;
  fd_ = socket(parsed->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  SetPatience(absl::Seconds(5));
  is_connected_ =
      connect(fd_, reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->size) == 0;
}

Client::~Client() {
  if (fd_ >= 0) close(fd_);
}

void Client::SetPatience(absl::Duration patience) {
  const timeval timeout = absl::ToTimeval(patience);
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
}

void Client::Send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
}

void Client::FinishSending() { shutdown(fd_, SHUT_WR); }

bool Client::Fill(Reply& reply) {
  char bytes[16 * 1024];
  const ssize_t size = recv(fd_, bytes, sizeof(bytes), 0);
  if (size > 0) {
    buffer_.append(bytes, static_cast<size_t>(size));
    return true;
  }
  if (size == 0) {
    reply.end = End::kClosed;
  } else {
    reply.end = errno == ECONNRESET ? End::kReset : End::kSilent;
  }
  return false;
}

bool Client::ReadUntil(std::string_view mark, std::string& into, Reply& reply) {
  size_t end = 0;
  while ((end = buffer_.find(mark)) == std::string::npos) {
    if (!Fill(reply)) return false;
  }
  into = buffer_.substr(0, end);
  buffer_.erase(0, end + mark.size());
  return true;
}

bool Client::ReadBytes(size_t count, std::string& into, Reply& reply) {
  while (count > 0) {
    if (buffer_.empty() && !Fill(reply)) return false;
    const size_t now = std::min(count, buffer_.size());
    into.append(buffer_, 0, now);
    buffer_.erase(0, now);
    count -= now;
  }
  return true;
}

bool Client::ReadHead(Reply& reply) {
  std::string line;
  if (!ReadUntil("\r\n", line, reply)) return false;
  if (line.substr(0, 7) != "HTTP/1." || line.size() < 12) {
    reply.end = End::kMalformed;
    return false;
  }
  reply.version = line.substr(0, 8);
  reply.status = std::atoi(line.c_str() + 9);
  reply.headers.clear();
  while (true) {
    if (!ReadUntil("\r\n", line, reply)) return false;
    if (line.empty()) return true;
    reply.headers.push_back(SplitField(line));
  }
}

void Client::ReadChunked(Reply& reply) {
  std::string line;
  while (true) {
    if (!ReadUntil("\r\n", line, reply)) return;
    char* end = nullptr;
    const size_t size = std::strtoul(line.c_str(), &end, 16);
    if (line.empty() || *end != '\0') {
      reply.end = End::kMalformed;
      return;
    }
    if (size == 0) break;
    ++reply.chunks;
    if (!ReadBytes(size, reply.body, reply) || !ReadUntil("\r\n", line, reply)) return;
  }
  while (ReadUntil("\r\n", line, reply)) {
    if (line.empty()) {
      reply.end = End::kComplete;
      return;
    }
    reply.trailers.push_back(SplitField(line));
  }
}

Reply Client::ReadReply(bool is_head) {
  Reply reply;
  if (!ReadHead(reply)) return reply;
  while (reply.status < 200) {
    reply.informational.push_back(reply.status);
    if (!ReadHead(reply)) return reply;
  }
  if (is_head || reply.status == 204) {
    reply.end = End::kComplete;
  } else if (reply.Find("transfer-encoding") == "chunked") {
    ReadChunked(reply);
  } else if (const std::string length = reply.Find("content-length"); !length.empty()) {
    if (ReadBytes(std::strtoul(length.c_str(), nullptr, 10), reply.body, reply)) {
      reply.end = End::kComplete;
    }
  } else {
    while (ReadBytes(1, reply.body, reply)) {
    }
    if (reply.end == End::kClosed) reply.end = End::kComplete;
  }
  return reply;
}

Reply Client::ReadRaw() {
  Reply reply;
  while (Fill(reply)) {
  }
  reply.body = std::exchange(buffer_, "");
  return reply;
}

std::string Client::ReadSome() {
  Reply reply;
  if (buffer_.empty()) Fill(reply);
  return std::exchange(buffer_, "");
}

bool Client::IsClosedByServer() {
  Reply reply;
  return buffer_.empty() && !Fill(reply) && reply.end != End::kSilent;
}

Reply Client::Get(std::string_view target, std::string_view extra_headers) {
  Send(fmt::format("GET {} HTTP/1.1\r\nhost: test\r\n{}\r\n", target, extra_headers));
  return ReadReply();
}

Reply Client::Post(std::string_view target, std::string_view body, std::string_view extra_headers) {
  Send(fmt::format("POST {} HTTP/1.1\r\nhost: test\r\ncontent-length: {}\r\n{}\r\n{}", target,
                   body.size(), extra_headers, body));
  return ReadReply();
}

ServerOptions TestServer::DefaultOptions() {
  ServerOptions options;
  options.listen = "127.0.0.1:0";
  options.admin = "127.0.0.1:0";
  options.service.tokens = {
      .ttft = absl::ZeroDuration(), .itl = absl::ZeroDuration(), .jitter = 0, .tokens = 4};
  return options;
}

TestServer::TestServer(ServerOptions options) {
  absl::StatusOr<std::unique_ptr<Server>> server = Server::Create(std::move(options));
  if (!server.ok()) {
    ADD_FAILURE() << server.status();
    std::abort();
  }
  server_ = *std::move(server);
  thread_ = std::thread([this] { server_->Run(); });
}

TestServer::~TestServer() {
  server_->Stop();
  thread_.join();
}

Json TestServer::Ledger(std::string_view id) const {
  Client client(admin());
  return ParseJson(client.Get(fmt::format("/ledger?id={}", id)).body);
}

bool TestServer::WaitForLedger(std::string_view id, std::string_view field, int64_t count) const {
  const MonoTime deadline = PreciseNow() + absl::Seconds(5);
  while (PreciseNow() < deadline) {
    if (IntField(Ledger(id), field, -1) == count) return true;
  }
  return false;
}

}  // namespace outrigger::mock_ai
