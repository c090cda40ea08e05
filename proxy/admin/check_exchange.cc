#include "proxy/admin/check_exchange.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "proxy/admin/check_protocol.h"

namespace outrigger::admin {

using net::IoResult;
using net::IoStatus;

namespace {

constexpr size_t kReadBytes = 16 * 1024;
// Of an answer, whatever comes after its head included.
constexpr size_t kMaxBytes = 256 * 1024;

IoResult ToResult(ssize_t count) {
  if (count > 0) return {.status = IoStatus::kOk, .bytes = static_cast<size_t>(count)};
  if (count == 0) return {.status = IoStatus::kEnd};
  if (errno == EAGAIN || errno == EINTR) return {.status = IoStatus::kAgain};
  return {.status = IoStatus::kError, .error = errno};
}

}  // namespace

CheckExchange::CheckExchange(event_base* base, int fd, std::unique_ptr<net::SecureSession> session,
                             const CheckQuestion& question,
                             std::function<std::string()> handshake_error, OnResult on_result)
    : base_(base),
      fd_(fd),
      session_(std::move(session)),
      protocol_(NewCheckProtocol(question, session_ != nullptr)),
      handshake_error_(std::move(handshake_error)),
      on_result_(std::move(on_result)) {
  // Otherwise the request would wait until the end of the handshake is acknowledged. Without effect
  // on a unix socket.
  const int on = 1;
  (void)setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  // The connection has just been made and takes something: that is where it begins.
  event_.reset(event_new(base_, fd_, EV_READ | EV_WRITE | EV_PERSIST, OnEvent, this));
  awaited_ = EV_READ | EV_WRITE;
  event_add(event_.get(), nullptr);
}

CheckExchange::~CheckExchange() {
  event_.reset();
  if (session_ != nullptr && !session_->is_established() && !is_stopped_) {
    session_->GiveUpHandshake();
  }
  if (session_ != nullptr) session_->SendClose();
  close(fd_);
}

void CheckExchange::OnEvent(evutil_socket_t, short, void* self) {
  static_cast<CheckExchange*>(self)->Advance();
}

void CheckExchange::Advance() {
  if (session_ != nullptr) {
    if (session_->has_unsent()) session_->Flush();
    if (!session_->is_established() && !Handshake()) return;
  }
  Send();
  if (!is_stopped_) Receive();
  if (!is_stopped_) Send();
  if (!is_stopped_) Register();
}

bool CheckExchange::Handshake() {
  switch (session_->Handshake()) {
    case net::HandshakeStatus::kDone:
      return true;
    case net::HandshakeStatus::kAgain:
      Register();
      return false;
    case net::HandshakeStatus::kFailed:
      Stop();
      Conclude({CheckOutcome::kError, fmt::format("TLS: {}", handshake_error_())});
      return false;
  }
  return false;
}

void CheckExchange::Send() {
  unsent_ += protocol_->TakeOutput();
  while (!unsent_.empty()) {
    const IoResult result = SendSome();
    if (result.status == IoStatus::kAgain) return;
    // The answer may have come before the service closed: reading decides.
    if (result.status != IoStatus::kOk) {
      unsent_.clear();
      return;
    }
    unsent_.erase(0, result.bytes);
  }
}

void CheckExchange::Receive() {
  char buffer[kReadBytes];
  for (;;) {
    const IoResult result = ReceiveSome(buffer, sizeof buffer);
    if (result.status == IoStatus::kAgain) return;
    if (result.status != IoStatus::kOk) {
      Stop();
      Conclude(result.status == IoStatus::kEnd
                   ? protocol_->End()
                   : CheckResult{CheckOutcome::kError, std::strerror(result.error)});
      return;
    }
    received_ += result.bytes;
    if (received_ > kMaxBytes) {
      Stop();
      Conclude({CheckOutcome::kError, "the answer does not end"});
      return;
    }
    std::optional<CheckResult> verdict = protocol_->Receive({buffer, result.bytes});
    if (verdict.has_value()) Conclude(*std::move(verdict));
  }
}

IoResult CheckExchange::ReceiveSome(char* data, size_t size) {
  if (session_ != nullptr) return session_->Receive(data, size);
  return ToResult(recv(fd_, data, size, 0));
}

IoResult CheckExchange::SendSome() {
  if (session_ == nullptr) return ToResult(send(fd_, unsent_.data(), unsent_.size(), MSG_NOSIGNAL));
  const iovec part{unsent_.data(), unsent_.size()};
  return session_->Send(&part, 1);
}

void CheckExchange::Conclude(CheckResult result) {
  if (!std::exchange(is_concluded_, true)) on_result_(std::move(result));
}

void CheckExchange::Stop() {
  is_stopped_ = true;
  event_del(event_.get());
  shutdown(fd_, SHUT_RDWR);
}

void CheckExchange::Register() {
  const bool has_unsent = !unsent_.empty() || (session_ != nullptr && session_->has_unsent());
  const short awaited = static_cast<short>(EV_READ | EV_PERSIST | (has_unsent ? EV_WRITE : 0));
  if (awaited == awaited_) return;
  awaited_ = awaited;
  event_del(event_.get());
  event_assign(event_.get(), base_, fd_, awaited, OnEvent, this);
  event_add(event_.get(), nullptr);
}

}  // namespace outrigger::admin
