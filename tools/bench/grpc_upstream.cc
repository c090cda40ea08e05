// bench-grpc-upstream: a gRPC service behind the proxy of a measurement, as cheap as nghttp2 lets
// it be: h2c by prior knowledge.
//
//   bench-grpc-upstream --listen 127.0.0.1:0 --message-bytes 123    prints "listening
//   127.0.0.1:PORT"
//
//   /health         200, ok, without trailers: for probes that come over HTTP/1.1
//   anything else   a unary call: once the request has ended, 200, one message, grpc-status 0

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tools/bench/flags.h"
#include "tools/bench/net.h"
#include "tools/bench/nghttp2_text.h"

namespace outrigger::bench {
namespace {

// What streams answer. A stream's user data is its answer if that is not a call's, and then how far
// it was sent.
struct Answer {
  std::string body;
  bool is_call = false;
};

class Connection {
 public:
  Connection(Socket socket, const Answer& call, const Answer& health)
      : socket_(std::move(socket)), call_(call), health_(health) {
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) Die("nghttp2");
    nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
    if (nghttp2_session_server_new(&session_, callbacks, this) != 0) Die("nghttp2");
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry streams = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &streams, 1);
  }
  ~Connection() { nghttp2_session_del(session_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  int fd() const { return socket_.fd(); }
  bool wants_write() const { return !unsent_.empty(); }
  // What it is registered for.
  bool is_watched_for_write = false;

  // False: the connection has ended.
  bool Read(std::vector<uint8_t>& buffer) {
    const ssize_t got = recv(fd(), buffer.data(), buffer.size(), 0);
    if (got < 0) return errno == EAGAIN;
    if (got == 0) return false;
    return nghttp2_session_mem_recv(session_, buffer.data(), static_cast<size_t>(got)) >= 0 &&
           Send();
  }

  // Everything that there is to say, in one send.
  bool Send() {
    for (const uint8_t* bytes = nullptr;;) {
      const ssize_t count = nghttp2_session_mem_send(session_, &bytes);
      if (count < 0) return false;
      if (count == 0) break;
      unsent_.append(Text(bytes, static_cast<size_t>(count)));
    }
    if (unsent_.empty()) return nghttp2_session_want_read(session_) != 0;
    const ssize_t sent = send(fd(), unsent_.data(), unsent_.size(), 0);
    if (sent < 0 && errno != EAGAIN) return false;
    unsent_.erase(0, static_cast<size_t>(std::max<ssize_t>(sent, 0)));
    return true;
  }

 private:
  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* user_data) {
    const auto& self = *static_cast<const Connection*>(user_data);
    const std::string_view field = Text(name, name_size);
    const std::string_view text = Text(value, value_size);
    if (field == ":path" && text == "/health") {
      nghttp2_session_set_stream_user_data(session, frame->hd.stream_id,
                                           const_cast<Answer*>(&self.health_));
    }
    return 0;
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    const bool is_message = frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA;
    if (!is_message || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    const auto& self = *static_cast<const Connection*>(user_data);
    const auto* answer = static_cast<const Answer*>(
        nghttp2_session_get_stream_user_data(session, frame->hd.stream_id));
    if (answer == nullptr) answer = &self.call_;
    const nghttp2_nv head[] = {
        Field(":status", "200"),
        Field("content-type", answer->is_call ? "application/grpc" : "text/plain")};
    nghttp2_data_provider provider = {.source = {.ptr = const_cast<Answer*>(answer)},
                                      .read_callback = OnReadBody};
    nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, nullptr);
    return nghttp2_submit_response(session, frame->hd.stream_id, head, std::size(head), &provider);
  }

  static ssize_t OnReadBody(nghttp2_session* session, int32_t stream_id, uint8_t* buffer,
                            size_t length, uint32_t* flags, nghttp2_data_source* source, void*) {
    const auto& answer = *static_cast<const Answer*>(source->ptr);
    const auto sent =
        reinterpret_cast<uintptr_t>(nghttp2_session_get_stream_user_data(session, stream_id));
    const size_t count = answer.body.copy(reinterpret_cast<char*>(buffer), length, sent);
    if (sent + count < answer.body.size()) {
      nghttp2_session_set_stream_user_data(session, stream_id,
                                           reinterpret_cast<void*>(sent + count));
      return static_cast<ssize_t>(count);
    }
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (answer.is_call) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      const nghttp2_nv status = Field("grpc-status", "0");
      if (nghttp2_submit_trailer(session, stream_id, &status, 1) != 0) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
      }
    }
    return static_cast<ssize_t>(count);
  }

  Socket socket_;
  const Answer& call_;
  const Answer& health_;
  nghttp2_session* session_ = nullptr;
  std::string unsent_;
};

class Upstream {
 public:
  Upstream(const sockaddr_in& listen, size_t message_bytes)
      : listener_(ListenTcp(listen)), buffer_(256 * 1024) {
    epoll_.Add(listener_.fd(), EPOLLIN, nullptr);
    // Not compressed, and four bytes of length.
    call_.is_call = true;
    call_.body = std::string(1, '\0');
    for (int shift : {24, 16, 8, 0}) call_.body += static_cast<char>(message_bytes >> shift & 0xFF);
    call_.body.append(message_bytes, 'a');
    health_.body = "ok\n";
  }

  sockaddr_in address() const { return LocalAddress(listener_.fd()); }

  void Run() {
    while (!StopRequested()) {
      for (const epoll_event& event : epoll_.Wait(-1)) {
        if (event.data.ptr == nullptr) {
          Accept();
          continue;
        }
        auto* connection = static_cast<Connection*>(event.data.ptr);
        const bool is_alive =
            (event.events & EPOLLOUT) != 0 ? connection->Send() : connection->Read(buffer_);
        if (!is_alive) {
          connections_.erase(connection);
          continue;
        }
        if (connection->wants_write() == connection->is_watched_for_write) continue;
        connection->is_watched_for_write = connection->wants_write();
        epoll_.Modify(connection->fd(), connection->wants_write() ? EPOLLOUT : EPOLLIN, connection);
      }
    }
  }

 private:
  void Accept() {
    Socket accepted = AcceptTcp(listener_.fd());
    if (!accepted.is_open()) return;
    auto connection = std::make_unique<Connection>(std::move(accepted), call_, health_);
    epoll_.Add(connection->fd(), EPOLLIN, connection.get());
    if (connection->Send()) connections_.emplace(connection.get(), std::move(connection));
  }

  Socket listener_;
  Epoll epoll_;
  std::vector<uint8_t> buffer_;
  Answer call_;
  Answer health_;
  std::unordered_map<Connection*, std::unique_ptr<Connection>> connections_;
};

}  // namespace
}  // namespace outrigger::bench

int main(int argc, char** argv) {
  using namespace outrigger::bench;
  Flags flags(argc, argv);
  const sockaddr_in listen = flags.Address("listen", "127.0.0.1:0");
  const int64_t message_bytes = flags.Int("message-bytes", 123);
  flags.RefuseUnknown();
  if (message_bytes < 0 || message_bytes > 16'000) Die("--message-bytes must be 0 to 16000");
  PrepareToServe();
  Upstream upstream(listen, static_cast<size_t>(message_bytes));
  return Serve(upstream);
}
