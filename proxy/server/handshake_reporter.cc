#include "proxy/server/handshake_reporter.h"

#include <sys/socket.h>

#include <array>

#include "proxy/metrics/descriptors.h"
#include "proxy/net/address.h"

namespace outrigger::server {
namespace {

std::string PeerOf(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getpeername(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return "";
  return net::SocketAddress(reinterpret_cast<sockaddr*>(&storage), size).ToString();
}

const auto& OutcomeNames() {
  static const auto names = [] {
    std::array<std::string_view, static_cast<size_t>(tls::HandshakeOutcome::kCount)> list;
    for (size_t i = 0; i < list.size(); ++i) {
      list[i] = tls::HandshakeOutcomeName(static_cast<tls::HandshakeOutcome>(i));
    }
    return list;
  }();
  return names;
}

}  // namespace

HandshakeReporter::HandshakeReporter(metrics::Registry& registry, metrics::WorkerMetrics& metrics,
                                     log::Logger& log, std::string_view side,
                                     const std::string& name)
    : metrics_(metrics),
      log_(log),
      side_(side),
      name_(name),
      outcomes_(registry, metrics::families::kTlsHandshakes, metrics::LabelValues{side_, name_},
                OutcomeNames()) {}

void HandshakeReporter::OnHandshake(tls::HandshakeOutcome outcome, std::string_view detail,
                                    int fd) {
  metrics_.Increment(outcomes_.At(outcome));
  if (outcome == tls::HandshakeOutcome::kDone) return;
  log_.Warn("tls_handshake_failed")
      .Str("side", side_)
      .Str("name", name_)
      .Str("peer", PeerOf(fd))
      .Str("outcome", HandshakeOutcomeName(outcome))
      .Str("detail", detail);
}

}  // namespace outrigger::server
