#include "proxy/tls/session.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "proxy/tls/certificate.h"

namespace outrigger::tls {

using net::HandshakeStatus;
using net::IoResult;
using net::IoStatus;

namespace {

constexpr size_t kRecordBytes = SSL3_RT_MAX_PLAIN_LENGTH;

constexpr std::array<std::string_view, static_cast<size_t>(HandshakeOutcome::kCount)> kOutcomes = {
    "done", "certificate", "refused", "protocol", "plain_http", "peer_closed", "given_up"};

bool IsAlert(unsigned long code) {  // NOLINT: OpenSSL's type
  return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= SSL_AD_REASON_OFFSET;
}

// Alerts that only the server's side of a handshake sends (RFC 8446, 6.2).
bool IsRefusal(unsigned long code) {  // NOLINT
  if (!IsAlert(code)) return false;
  switch (ERR_GET_REASON(code) - SSL_AD_REASON_OFFSET) {
    case SSL_AD_HANDSHAKE_FAILURE:
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_REVOKED:
    case SSL_AD_CERTIFICATE_EXPIRED:
    case SSL_AD_CERTIFICATE_UNKNOWN:
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_ACCESS_DENIED:
    case SSL_AD_DECRYPT_ERROR:
    case SSL_AD_CERTIFICATE_REQUIRED:
      return true;
    default:
      return false;
  }
}

bool IsAboutCertificate(int reason) {
  return reason == SSL_R_CERTIFICATE_VERIFY_FAILED ||
         reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE;
}

}  // namespace

std::string_view HandshakeOutcomeName(HandshakeOutcome outcome) {
  return kOutcomes[static_cast<size_t>(outcome)];
}

Session::Session(SslPtr ssl, std::shared_ptr<const void> pin, int fd, const Policy& policy,
                 SessionObserver& observer)
    : pin_(std::move(pin)), io_(fd), ssl_(std::move(ssl)), policy_(policy), observer_(observer) {
  SSL_set_app_data(ssl_.get(), this);
  BIO* bio = NewSocketBio(io_).release();
  SSL_set_bio(ssl_.get(), bio, bio);
  if (policy_.is_server) {
    SSL_set_accept_state(ssl_.get());
  } else {
    SSL_set_connect_state(ssl_.get());
  }
}

Session::~Session() = default;

HandshakeStatus Session::Handshake() {
  ForgetErrors();
  const int result = SSL_do_handshake(ssl_.get());
  if (result != 1) return Fail(result);
  if (!TakePeer()) {
    is_broken_ = true;
    observer_.OnHandshake(HandshakeOutcome::kCertificate, denied_, io_.fd());
    return HandshakeStatus::kFailed;
  }
  if (!policy_.protocol.empty() && protocol() != policy_.protocol) {
    is_broken_ = true;
    const std::string detail =
        protocol().empty() ? fmt::format("{} was not chosen by ALPN", policy_.protocol)
                           : fmt::format("ALPN chose {}, not {}", protocol(), policy_.protocol);
    observer_.OnHandshake(HandshakeOutcome::kProtocol, detail, io_.fd());
    return HandshakeStatus::kFailed;
  }
  is_done_ = true;
  observer_.OnHandshake(HandshakeOutcome::kDone, {}, io_.fd());
  return HandshakeStatus::kDone;
}

HandshakeStatus Session::Fail(int result) {
  const int system_error = errno;
  const int kind = SSL_get_error(ssl_.get(), result);
  if (kind == SSL_ERROR_WANT_READ) return HandshakeStatus::kAgain;
  is_broken_ = true;
  const unsigned long code = TakeErrorCode();
  const int reason = ERR_GET_LIB(code) == ERR_LIB_SSL ? ERR_GET_REASON(code) : 0;
  HandshakeOutcome outcome = HandshakeOutcome::kProtocol;
  std::string detail = ErrorText(code);
  if (kind == SSL_ERROR_SYSCALL) {
    outcome = HandshakeOutcome::kPeerClosed;
    detail = std::strerror(system_error);
  } else if (kind == SSL_ERROR_ZERO_RETURN || reason == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
    outcome = HandshakeOutcome::kPeerClosed;
    detail = "the connection was closed";
  } else if (IsAboutCertificate(reason)) {
    outcome = HandshakeOutcome::kCertificate;
    const long verified = SSL_get_verify_result(ssl_.get());  // NOLINT: OpenSSL's type
    if (!denied_.empty()) {
      detail = denied_;
    } else if (reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
      detail = X509_verify_cert_error_string(verified);
    }
  } else if (IsAlert(code)) {
    outcome = HandshakeOutcome::kRefused;
  } else if (reason == SSL_R_HTTP_REQUEST) {
    outcome = HandshakeOutcome::kPlainHttp;
    met_plain_http_ = true;
  }
  observer_.OnHandshake(outcome, detail, io_.fd());
  return HandshakeStatus::kFailed;
}

void Session::GiveUpHandshake() {
  is_broken_ = true;
  observer_.OnHandshake(HandshakeOutcome::kGivenUp, "not done in time", io_.fd());
}

bool Session::Allows(const X509& certificate) {
  if (policy_.allowed == nullptr || policy_.allowed->empty()) return true;
  const SubjectNames names = NamesOf(certificate);
  const auto matches = [&names](const SanRule& rule) { return rule.Matches(names); };
  if (std::any_of(policy_.allowed->begin(), policy_.allowed->end(), matches)) return true;
  const std::string identity = names.Identity();
  denied_ = identity.empty() ? "the certificate has no name that is allowed"
                             : fmt::format("{} is not allowed", identity);
  return false;
}

// A resumed session brings its certificate along, without its having been verified again.
bool Session::TakePeer() {
  const X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr || !policy_.is_server) return true;
  if (is_resumed() && !IsValidNow(*certificate)) {
    denied_ = "the certificate of the resumed session has expired";
    return false;
  }
  const SubjectNames names = NamesOf(*certificate);
  peer_identity_ = names.Identity();
  forwarded_certificate_ = ForwardedElement(*certificate, names);
  return true;
}

void Session::Break() {
  const unsigned long code = TakeErrorCode();
  is_broken_ = true;
  if (policy_.is_server || has_received_data_ || !IsRefusal(code)) return;
  was_refused_ = true;
  observer_.OnHandshake(HandshakeOutcome::kRefused, ErrorText(code), io_.fd());
}

IoResult Session::Receive(char* data, size_t size) {
  if (is_broken_) return {.status = IoStatus::kError, .error = ECONNRESET};
  ForgetErrors();
  size_t received = 0;
  while (received < size) {
    const int count = SSL_read(ssl_.get(), data + received,
                               static_cast<int>(std::min<size_t>(size - received, INT_MAX)));
    if (count > 0) {
      received += static_cast<size_t>(count);
      has_received_data_ = true;
      // Asking once more would cost a system call, for nothing most of the time.
      if (SSL_has_pending(ssl_.get()) == 0) break;
      continue;
    }
    switch (SSL_get_error(ssl_.get(), count)) {
      case SSL_ERROR_WANT_READ:
        if (received == 0) return {.status = IoStatus::kAgain};
        return {.bytes = received};
      case SSL_ERROR_ZERO_RETURN:
        // Said again at the next call.
        if (received == 0) return {.status = IoStatus::kEnd};
        return {.bytes = received};
      default:
        Break();
        if (received == 0) return {.status = IoStatus::kError, .error = ECONNRESET};
        return {.bytes = received};
    }
  }
  return {.bytes = received};
}

bool Session::has_received() const {
  return is_broken_ || SSL_has_pending(ssl_.get()) == 1 ||
         (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
}

bool Session::HasData() {
  // Servers send tickets after the handshake, when nobody waits for anything; clients do not.
  if (policy_.is_server || is_broken_ || SSL_pending(ssl_.get()) > 0) return true;
  ForgetErrors();
  char byte = 0;
  const int count = SSL_peek(ssl_.get(), &byte, 1);
  if (count > 0) return true;
  switch (SSL_get_error(ssl_.get(), count)) {
    case SSL_ERROR_WANT_READ:
      return false;
    case SSL_ERROR_ZERO_RETURN:
      return true;
    default:
      Break();
      return true;
  }
}

void Session::Flush() {
  if (!io_.Flush()) is_broken_ = true;
}

bool Session::SendPiece(std::string_view piece, IoResult& result) {
  const int count = SSL_write(ssl_.get(), piece.data(), static_cast<int>(piece.size()));
  if (count > 0) {
    // All of the piece: a record at most, and the BIO takes everything.
    result.bytes += static_cast<size_t>(count);
    if (!io_.has_unsent()) return true;
    has_withheld_byte_ = true;
    if (--result.bytes == 0) result.status = IoStatus::kAgain;
    return false;
  }
  if (SSL_get_error(ssl_.get(), count) == SSL_ERROR_WANT_READ) {
    send_wants_read_ = true;
    if (result.bytes == 0) result.status = IoStatus::kAgain;
    return false;
  }
  ERR_clear_error();
  is_broken_ = true;
  // What was taken before is lost with the connection.
  result = {.status = IoStatus::kError, .error = EPIPE};
  return false;
}

// Full records go out from where the bytes are; what is between them, and small parts, are gathered
// into one.
IoResult Session::Send(const iovec* parts, int count) {
  send_wants_read_ = false;
  Flush();
  if (is_broken_) return {.status = IoStatus::kError, .error = EPIPE};
  if (io_.has_unsent()) return {.status = IoStatus::kAgain};
  ForgetErrors();
  IoResult result;
  char gathered[kRecordBytes];
  size_t filled = 0;
  for (int i = 0; i < count; ++i) {
    std::string_view part(static_cast<const char*>(parts[i].iov_base), parts[i].iov_len);
    const bool is_last = i + 1 == count;
    if (has_withheld_byte_ && !part.empty()) {
      has_withheld_byte_ = false;
      part.remove_prefix(1);
      ++result.bytes;
    }
    while (!part.empty()) {
      if (filled == 0 && (part.size() >= kRecordBytes || is_last)) {
        const std::string_view piece = part.substr(0, kRecordBytes);
        if (!SendPiece(piece, result)) return result;
        part.remove_prefix(piece.size());
        continue;
      }
      const std::string_view piece = part.substr(0, kRecordBytes - filled);
      std::memcpy(gathered + filled, piece.data(), piece.size());
      filled += piece.size();
      part.remove_prefix(piece.size());
      if (filled == kRecordBytes) {
        if (!SendPiece({gathered, filled}, result)) return result;
        filled = 0;
      }
    }
  }
  if (filled > 0) (void)SendPiece({gathered, filled}, result);
  return result;
}

void Session::SendClose() {
  if (!is_done_ || is_broken_) return;
  ForgetErrors();
  (void)SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

std::string_view Session::protocol() const {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl_.get(), &name, &size);
  return {reinterpret_cast<const char*>(name), size};
}

}  // namespace outrigger::tls
