// bench-upstream: the service behind the proxy of a measurement, as cheap as it can be.
//
//   bench-upstream --listen 127.0.0.1:0        prints "listening 127.0.0.1:PORT"
//
//   GET anything      200, 128 bytes of text         GET /64k     200, 64 KiB
//   POST anything     200, 128 bytes of JSON         GET /health  200, ok
//   /sse?events=N&interval_us=X  N events, X apart, chunked (sse_event.h); any method
//   GET /stats        {"gets":..,"posts":..,"streams":..}: what really arrived here
//
// Streams start out of phase with one another, as those of independent callers would.

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <functional>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "tools/bench/flags.h"
#include "tools/bench/message_reader.h"
#include "tools/bench/net.h"
#include "tools/bench/sse_event.h"

namespace outrigger::bench {
namespace {

constexpr size_t kSmallBody = 128;
constexpr size_t kLargeBody = 64 * 1024;

struct Connection {
  uint64_t id = 0;
  Socket socket;
  MessageReader reader{MessageReader::Kind::kRequest};
  std::string unsent;
  // Set while an event stream runs; requests that arrive meanwhile wait in the socket.
  bool is_streaming = false;
  uint64_t next_sequence = 0;
  uint64_t events = 0;
  int64_t interval_ns = 0;
};

// When the next event of a stream is due. Connections are named by id: one may be gone by then.
struct Due {
  int64_t at_ns;
  uint64_t connection;
  bool operator>(const Due& other) const { return at_ns > other.at_ns; }
};

std::string Respond(std::string_view type, std::string_view body) {
  std::string text = "HTTP/1.1 200 OK\r\nContent-Type: ";
  text.append(type).append("\r\nContent-Length: ").append(std::to_string(body.size()));
  return text.append("\r\n\r\n").append(body);
}

uint64_t QueryNumber(std::string_view target, std::string_view name, uint64_t otherwise) {
  const size_t at = target.find(name);
  if (at == std::string_view::npos) return otherwise;
  std::from_chars(target.data() + at + name.size(), target.data() + target.size(), otherwise);
  return otherwise;
}

std::string Chunk(std::string_view data) {
  char size[32];
  const int digits = std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  std::string chunk(size, static_cast<size_t>(digits));
  return chunk.append(data).append("\r\n");
}

class Upstream {
 public:
  explicit Upstream(const sockaddr_in& listen) : listener_(ListenTcp(listen)), buffer_(64 * 1024) {
    epoll_.Add(listener_.fd(), EPOLLIN, nullptr);
    const std::string json = "{\"id\":\"bench\",\"object\":\"answer\",\"text\":\"";
    small_text_ = Respond("text/plain", std::string(kSmallBody, 'a'));
    small_json_ =
        Respond("application/json", json + std::string(kSmallBody - json.size() - 2, 'a') + "\"}");
    large_ = Respond("application/octet-stream", std::string(kLargeBody, 'b'));
    health_ = Respond("text/plain", "ok\n");
  }

  sockaddr_in address() const { return LocalAddress(listener_.fd()); }

  void Run() {
    while (!StopRequested()) {
      for (const epoll_event& event : epoll_.Wait(SendDueEvents())) {
        if (event.data.ptr == nullptr) {
          Accept();
          continue;
        }
        Connection& connection = *static_cast<Connection*>(event.data.ptr);
        if (!connection.socket.is_open()) continue;
        if ((event.events & EPOLLOUT) != 0) Flush(connection);
        if (connection.socket.is_open() && (event.events & ~EPOLLOUT) != 0) Read(connection);
      }
      if (!closed_.empty()) closed_.clear();
    }
  }

 private:
  void Accept() {
    Socket accepted = AcceptTcp(listener_.fd());
    if (!accepted.is_open()) return;
    const uint64_t id = ++last_id_;
    auto connection = std::make_unique<Connection>();
    connection->id = id;
    connection->socket = std::move(accepted);
    epoll_.Add(connection->socket.fd(), EPOLLIN, connection.get());
    connections_.emplace(id, std::move(connection));
  }

  void Read(Connection& connection) {
    const ssize_t got = recv(connection.socket.fd(), buffer_.data(), buffer_.size(), 0);
    if (got <= 0) {
      if (got == 0 || errno != EAGAIN) Close(connection);
      return;
    }
    std::string_view data(buffer_.data(), static_cast<size_t>(got));
    while (!data.empty() && connection.socket.is_open()) {
      const ptrdiff_t used = connection.reader.Feed(data);
      // Nobody pipelines behind a stream here; dropping the connection makes it visible if so.
      if (used < 0 || connection.is_streaming) return Close(connection);
      data.remove_prefix(static_cast<size_t>(used));
      if (!connection.reader.is_done()) continue;
      Answer(connection);
      connection.reader.Reset();
    }
  }

  void Answer(Connection& connection) {
    const std::string_view target = connection.reader.target();
    if (target.starts_with("/sse")) return StartStream(connection, target);
    if (target == "/health") return Send(connection, health_);
    if (target == "/stats") return Send(connection, Respond("application/json", Stats()));
    if (connection.reader.method() == "POST") {
      ++posts_;
      return Send(connection, small_json_);
    }
    ++gets_;
    Send(connection, target == "/64k" ? large_ : small_text_);
  }

  std::string Stats() const {
    return "{\"gets\":" + std::to_string(gets_) + ",\"posts\":" + std::to_string(posts_) +
           ",\"streams\":" + std::to_string(streams_) + "}\n";
  }

  void StartStream(Connection& connection, std::string_view target) {
    ++streams_;
    connection.is_streaming = true;
    connection.next_sequence = 0;
    connection.events = QueryNumber(target, "events=", 100);
    connection.interval_ns =
        static_cast<int64_t>(QueryNumber(target, "interval_us=", 20'000)) * 1000;
    Send(connection,
         "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
         "Transfer-Encoding: chunked\r\n\r\n");
    // Multiples of the golden ratio, modulo one, are spread evenly however many there are.
    const double phase = static_cast<double>(streams_) * 0.6180339887498949;
    const double fraction = phase - static_cast<double>(static_cast<uint64_t>(phase));
    const auto delay = static_cast<int64_t>(fraction * static_cast<double>(connection.interval_ns));
    due_.push({NowNanos() + delay, connection.id});
  }

  // Returns how long to wait until the next event is due, negative when there is none.
  int64_t SendDueEvents() {
    while (!due_.empty()) {
      const Due due = due_.top();
      const int64_t now = NowNanos();
      if (due.at_ns > now) return due.at_ns - now;
      due_.pop();
      const auto found = connections_.find(due.connection);
      if (found == connections_.end()) continue;
      Connection& connection = *found->second;
      if (connection.next_sequence == connection.events) {
        connection.is_streaming = false;
        Send(connection, Chunk(kDoneEvent) + "0\r\n\r\n");
        continue;
      }
      Send(connection, Chunk(FormatEvent({connection.next_sequence++, NowNanos()})));
      due_.push({due.at_ns + connection.interval_ns, connection.id});
    }
    return -1;
  }

  void Send(Connection& connection, std::string_view data) {
    if (!connection.socket.is_open()) return;
    if (!connection.unsent.empty()) {
      connection.unsent.append(data);
      return;
    }
    const ssize_t sent = send(connection.socket.fd(), data.data(), data.size(), 0);
    if (sent < 0 && errno != EAGAIN) return Close(connection);
    const size_t done = sent > 0 ? static_cast<size_t>(sent) : 0;
    if (done == data.size()) return;
    connection.unsent.assign(data.substr(done));
    epoll_.Modify(connection.socket.fd(), EPOLLIN | EPOLLOUT, &connection);
  }

  void Flush(Connection& connection) {
    const std::string& data = connection.unsent;
    const ssize_t sent = send(connection.socket.fd(), data.data(), data.size(), 0);
    if (sent < 0) {
      if (errno != EAGAIN) Close(connection);
      return;
    }
    connection.unsent.erase(0, static_cast<size_t>(sent));
    if (connection.unsent.empty()) epoll_.Modify(connection.socket.fd(), EPOLLIN, &connection);
  }

  void Close(Connection& connection) {
    connection.socket.Close();
    const auto found = connections_.find(connection.id);
    // Kept until the end of the batch: a later event of it may name this connection.
    closed_.push_back(std::move(found->second));
    connections_.erase(found);
  }

  Socket listener_;
  Epoll epoll_;
  std::vector<char> buffer_;
  std::string small_text_;
  std::string small_json_;
  std::string large_;
  std::string health_;
  uint64_t last_id_ = 0;
  uint64_t gets_ = 0;
  uint64_t posts_ = 0;
  uint64_t streams_ = 0;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::vector<std::unique_ptr<Connection>> closed_;
  std::priority_queue<Due, std::vector<Due>, std::greater<>> due_;
};

}  // namespace
}  // namespace outrigger::bench

int main(int argc, char** argv) {
  using namespace outrigger::bench;
  Flags flags(argc, argv);
  const sockaddr_in listen = flags.Address("listen", "127.0.0.1:0");
  flags.RefuseUnknown();
  PrepareToServe();
  Upstream upstream(listen);
  return Serve(upstream);
}
