#include "tools/bench/http_load.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <limits>

namespace outrigger::bench {
namespace {

constexpr int64_t kLateNanos = 1'000'000;

}  // namespace

HttpLoad::HttpLoad(const HttpLoadOptions& options)
    : options_(options), request_(options.request), buffer_(256 * 1024) {}

void HttpLoad::Warm() {
  for (uint64_t i = 0; i < options_.connections; ++i) {
    auto connection = std::make_unique<Connection>();
    if (!Open(*connection)) Die("cannot connect to " + ToString(options_.target));
    idle_.push_back(connection.get());
    connections_.push_back(std::move(connection));
  }
  if (options_.warm_requests > 0) Loop(options_.warm_requests, 0);
}

HttpLoadResult HttpLoad::RunClosed() { return Loop(options_.requests, options_.duration_ns); }

HttpLoadResult HttpLoad::Loop(uint64_t requests, int64_t duration_ns) {
  HttpLoadResult result;
  const int64_t start = NowNanos();
  const int64_t end = duration_ns > 0 ? start + duration_ns : std::numeric_limits<int64_t>::max();
  const uint64_t limit = requests > 0 ? requests : std::numeric_limits<uint64_t>::max();
  const uint64_t max_busy =
      options_.max_in_flight > 0 ? options_.max_in_flight : options_.connections;
  uint64_t sent = 0;
  int64_t now = start;
  last_answer_ns_ = start;
  while (true) {
    while (!idle_.empty() && busy() < max_busy && sent < limit && now < end && !StopRequested()) {
      Connection* connection = idle_.front();
      idle_.pop_front();
      ++sent;
      Send(*connection, NowNanos());
    }
    if (busy() == 0) break;
    PollOnce(options_.patience_ns, result);
    now = NowNanos();
    if (now - last_answer_ns_ > options_.patience_ns || StopRequested()) {
      GiveUp(result);
      break;
    }
  }
  result.elapsed_ns = NowNanos() - start;
  return result;
}

HttpLoadResult HttpLoad::RunOpen() {
  HttpLoadResult result;
  const double interval_ns = 1e9 / options_.rate;
  const auto total =
      static_cast<uint64_t>(options_.rate * static_cast<double>(options_.duration_ns) / 1e9);
  const int64_t start = NowNanos();
  const auto due = [&](uint64_t index) {
    return start + static_cast<int64_t>(static_cast<double>(index) * interval_ns);
  };
  uint64_t next = 0;
  last_answer_ns_ = start;
  while (next < total || busy() > 0) {
    int64_t now = NowNanos();
    // While every connection is busy, what is due waits; it still counts from its due time.
    while (next < total && due(next) <= now && !idle_.empty()) {
      Connection* connection = idle_.front();
      idle_.pop_front();
      if (now - due(next) > kLateNanos) ++result.late_sends;
      Send(*connection, due(next++));
    }
    int64_t wait = options_.patience_ns;
    if (next < total && !idle_.empty()) wait = std::max<int64_t>(due(next) - NowNanos(), 0);
    PollOnce(wait, result);
    now = NowNanos();
    if ((busy() > 0 && now - last_answer_ns_ > options_.patience_ns) || StopRequested()) {
      result.errors += total - next;
      GiveUp(result);
      break;
    }
  }
  result.elapsed_ns = NowNanos() - start;
  return result;
}

uint64_t HttpLoad::Idle() {
  HttpLoadResult result;
  while (!StopRequested()) PollOnce(-1, result);
  return result.reconnects;
}

bool HttpLoad::Open(Connection& connection) {
  connection.socket = ConnectNow(options_.target);
  if (!connection.socket.is_open()) return false;
  if (options_.has_tls) {
    connection.tls = std::make_unique<TlsStream>(connection.socket.fd());
    if (!connection.tls->Handshake()) return false;
  }
  epoll_.Add(connection.socket.fd(), EPOLLIN, &connection);
  return true;
}

void HttpLoad::Reopen(Connection& connection) {
  connection.reader.Reset();
  connection.unsent.clear();
  connection.is_busy = false;
  if (!Open(connection)) Die("connection lost and refused by " + ToString(options_.target));
}

ssize_t HttpLoad::SendTo(Connection& connection, std::string_view data) {
  if (connection.tls != nullptr) return connection.tls->Send(data);
  return send(connection.socket.fd(), data.data(), data.size(), 0);
}

void HttpLoad::Send(Connection& connection, int64_t due_ns) {
  connection.is_busy = true;
  connection.due_ns = due_ns;
  const std::string_view bytes = request_.Next();
  const ssize_t sent = SendTo(connection, bytes);
  const size_t done = sent > 0 ? static_cast<size_t>(sent) : 0;
  // A dead connection is noticed when it is read.
  if (done == bytes.size() || (sent < 0 && errno != EAGAIN)) return;
  connection.unsent = bytes.substr(done);
  epoll_.Modify(connection.socket.fd(), EPOLLIN | EPOLLOUT, &connection);
}

void HttpLoad::Flush(Connection& connection) {
  std::string& data = connection.unsent;
  const ssize_t sent = SendTo(connection, data);
  if (sent > 0) data.erase(0, static_cast<size_t>(sent));
  if (data.empty() || (sent < 0 && errno != EAGAIN)) {
    data.clear();
    epoll_.Modify(connection.socket.fd(), EPOLLIN, &connection);
  }
}

void HttpLoad::PollOnce(int64_t timeout_ns, HttpLoadResult& result) {
  for (const epoll_event& event : epoll_.Wait(timeout_ns)) {
    Connection& connection = *static_cast<Connection*>(event.data.ptr);
    if ((event.events & EPOLLOUT) != 0 && !connection.unsent.empty()) Flush(connection);
    if ((event.events & ~EPOLLOUT) != 0) OnReadable(connection, result);
  }
}

void HttpLoad::OnReadable(Connection& connection, HttpLoadResult& result) {
  const ssize_t got = connection.tls != nullptr
                          ? connection.tls->Receive(buffer_.data(), buffer_.size())
                          : recv(connection.socket.fd(), buffer_.data(), buffer_.size(), 0);
  if (got < 0 && errno == EAGAIN) return;
  if (got <= 0) {
    if (!connection.is_busy) {
      ++result.reconnects;
      return Reopen(connection);
    }
    if (got == 0 && connection.reader.FinishAtClose()) return Finish(connection, result);
    return Fail(connection, result);
  }
  const std::string_view data(buffer_.data(), static_cast<size_t>(got));
  // Bytes that nobody asked for, or behind the end of the answer, are a fault of the peer.
  const bool was_asked = connection.is_busy;
  const ptrdiff_t used = was_asked ? connection.reader.Feed(data) : -1;
  if (used < 0) return was_asked ? Fail(connection, result) : Reopen(connection);
  if (!connection.reader.is_done()) return;
  if (used != got) return Fail(connection, result);
  Finish(connection, result);
}

void HttpLoad::Finish(Connection& connection, HttpLoadResult& result) {
  const int64_t now = NowNanos();
  last_answer_ns_ = now;
  ++result.completed;
  result.body_bytes += connection.reader.body_bytes();
  if (connection.reader.status() / 100 != 2) ++result.non_2xx;
  result.latency.Record(now - connection.due_ns);
  const bool keeps_alive = connection.reader.keeps_alive();
  connection.reader.Reset();
  connection.is_busy = false;
  if (!keeps_alive) {
    ++result.reconnects;
    Reopen(connection);
  }
  idle_.push_back(&connection);
}

void HttpLoad::Fail(Connection& connection, HttpLoadResult& result) {
  ++result.errors;
  ++result.reconnects;
  result.latency.Record(NowNanos() - connection.due_ns);
  Reopen(connection);
  idle_.push_back(&connection);
}

void HttpLoad::GiveUp(HttpLoadResult& result) {
  for (const auto& connection : connections_) {
    if (connection->is_busy) Fail(*connection, result);
  }
}

}  // namespace outrigger::bench
