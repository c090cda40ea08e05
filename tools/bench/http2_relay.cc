// bench-http2-relay: GETs of HTTP/2 passed to a service of HTTP/1.1 with as little work as nghttp2
// allows, the floor of what is measured over HTTP/2.
//
//   bench-http2-relay --listen 127.0.0.1:0 --upstream 127.0.0.1:8000
//
// It trusts both sides: nothing is checked, no time is taken, no field is added or left out but for
// those that frame the message. One recv and one send for each request on a connection to the
// service, everything that a turn has for a client in one send, edge-triggered epoll.

#include <nghttp2/nghttp2.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/bench/flags.h"
#include "tools/bench/net.h"
#include "tools/bench/nghttp2_text.h"

namespace outrigger::bench {
namespace {

constexpr uint32_t kEvents = EPOLLIN | EPOLLRDHUP | EPOLLET;
constexpr std::string_view kHeadEnd = "\r\n\r\n";

// The value of a field of a head that is spelled as `name` with its colon and a space; or empty.
std::string_view ValueOf(std::string_view head, std::string_view name) {
  const size_t at = head.find(name);
  if (at == std::string_view::npos) return {};
  const std::string_view rest = head.substr(at + name.size());
  return rest.substr(0, rest.find('\r'));
}

class Http2Relay;
struct Client;
struct Service;

// What epoll gives back.
struct Endpoint {
  Socket socket;
  Client* client = nullptr;
  Service* service = nullptr;
};

// A request, and later its answer.
struct Stream {
  std::string path;
  std::string host;
  std::string fields;
  std::string answer;
  size_t head_bytes = 0;  // of the answer; 0: not here yet
  size_t sent = 0;        // of the answer's body
};

struct Client {
  Http2Relay& relay;
  Endpoint endpoint;
  nghttp2_session* session = nullptr;
  std::string unsent;
  bool is_touched = false;
  bool is_closed = false;
  size_t waiting = 0;  // requests at the service

  explicit Client(Http2Relay& owner) : relay(owner) {}
  ~Client() { nghttp2_session_del(session); }
};

// A connection to the service, with the request that it has, if any.
struct Service {
  Endpoint endpoint;
  Client* client = nullptr;
  Stream* stream = nullptr;
  int32_t stream_id = 0;
};

class Http2Relay {
 public:
  Http2Relay(const sockaddr_in& listen, const sockaddr_in& upstream)
      : upstream_(upstream), listener_(ListenTcp(listen)), buffer_(64 * 1024) {
    epoll_.Add(listener_.fd(), EPOLLIN, nullptr);
    if (nghttp2_session_callbacks_new(&callbacks_) != 0) Die("nghttp2");
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks_, OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(callbacks_, OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks_, OnFrame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks_, OnStreamClosed);
    if (nghttp2_option_new(&option_) != 0) Die("nghttp2");
    nghttp2_option_set_no_http_messaging(option_, 1);
    nghttp2_option_set_no_closed_streams(option_, 1);
  }
  ~Http2Relay() {
    nghttp2_session_callbacks_del(callbacks_);
    nghttp2_option_del(option_);
  }

  sockaddr_in address() const { return LocalAddress(listener_.fd()); }

  void Run() {
    while (!StopRequested()) {
      for (const epoll_event& event : epoll_.Wait(-1)) {
        const auto* endpoint = static_cast<const Endpoint*>(event.data.ptr);
        if (endpoint == nullptr) {
          Accept();
        } else if (endpoint->client != nullptr) {
          ReadClient(*endpoint->client);
        } else {
          ReadService(*endpoint->service);
        }
      }
      for (Service* service : asked_) Send(*service);
      asked_.clear();
      for (Client* client : touched_) Send(*client);
      touched_.clear();
      std::erase_if(clients_,
                    [](const auto& client) { return client->is_closed && client->waiting == 0; });
    }
  }

 private:
  // The session's user data is its client, the stream's its Stream.
  static Client& Of(void* user_data) { return *static_cast<Client*>(user_data); }
  static Stream* StreamOf(nghttp2_session* session, int32_t id) {
    return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session, id));
  }

  void Accept() {
    Socket accepted = AcceptTcp(listener_.fd());
    if (!accepted.is_open()) return;
    auto client = std::make_unique<Client>(*this);
    client->endpoint = {std::move(accepted), client.get(), nullptr};
    if (nghttp2_session_server_new2(&client->session, callbacks_, client.get(), option_) != 0) {
      Die("nghttp2");
    }
    const nghttp2_settings_entry streams = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 128};
    nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, &streams, 1);
    epoll_.Add(client->endpoint.socket.fd(), kEvents, &client->endpoint);
    Touch(*client);
    clients_.push_back(std::move(client));
  }

  void Touch(Client& client) {
    if (!std::exchange(client.is_touched, true)) touched_.push_back(&client);
  }

  void ReadClient(Client& client) {
    if (client.is_closed) return;
    Touch(client);
    for (size_t got = buffer_.size(); got == buffer_.size();) {
      const ssize_t count = recv(client.endpoint.socket.fd(), buffer_.data(), buffer_.size(), 0);
      if (count < 0 && errno == EAGAIN) return;
      got = static_cast<size_t>(std::max<ssize_t>(count, 0));
      const auto* bytes = reinterpret_cast<const uint8_t*>(buffer_.data());
      if (got == 0 || nghttp2_session_mem_recv(client.session, bytes, got) < 0)
        return Close(client);
    }
  }

  static void Close(Client& client) {
    client.is_closed = true;
    client.endpoint.socket.Close();
  }

  static int OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    Http2Relay& self = Of(user_data).relay;
    if (self.free_streams_.empty()) {
      self.streams_.push_back(std::make_unique<Stream>());
      self.free_streams_.push_back(self.streams_.back().get());
    }
    Stream* const stream = self.free_streams_.back();
    self.free_streams_.pop_back();
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
  }

  static int OnHeader(nghttp2_session* session, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t, void*) {
    Stream& stream = *StreamOf(session, frame->hd.stream_id);
    const std::string_view field = Text(name, name_size);
    const std::string_view text = Text(value, value_size);
    if (field.front() != ':') {
      stream.fields.append(field).append(": ").append(text).append("\r\n");
    } else if (field == ":path") {
      stream.path = text;
    } else if (field == ":authority") {
      stream.host = text;
    }
    return 0;
  }

  static int OnFrame(nghttp2_session* session, const nghttp2_frame* frame, void* user_data) {
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    const int32_t id = frame->hd.stream_id;
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) {
      return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    }
    Client& client = Of(user_data);
    client.relay.Ask(client, *StreamOf(session, id), id);
    return 0;
  }

  void Ask(Client& client, Stream& stream, int32_t id) {
    if (idle_.empty()) {
      auto service = std::make_unique<Service>();
      service->endpoint = {ConnectNow(upstream_), nullptr, service.get()};
      if (!service->endpoint.socket.is_open()) Die("cannot connect to " + ToString(upstream_));
      epoll_.Add(service->endpoint.socket.fd(), kEvents, &service->endpoint);
      idle_.push_back(service.get());
      services_.push_back(std::move(service));
    }
    Service& service = *idle_.back();
    idle_.pop_back();
    service.client = &client;
    service.stream = &stream;
    service.stream_id = id;
    ++client.waiting;
    asked_.push_back(&service);
  }

  void Send(Service& service) {
    Stream& stream = *service.stream;
    request_.assign("GET ").append(stream.path).append(" HTTP/1.1\r\nhost: ").append(stream.host);
    request_.append("\r\n").append(stream.fields).append("\r\n");
    const ssize_t sent = send(service.endpoint.socket.fd(), request_.data(), request_.size(), 0);
    if (sent != static_cast<ssize_t>(request_.size())) Die("cannot send a whole request");
  }

  void ReadService(Service& service) {
    const ssize_t got = recv(service.endpoint.socket.fd(), buffer_.data(), buffer_.size(), 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0 || service.stream == nullptr) Die("the service has closed a connection");
    Stream& stream = *service.stream;
    stream.answer.append(buffer_.data(), static_cast<size_t>(got));
    const size_t end = stream.answer.find(kHeadEnd);
    if (end == std::string::npos) return;
    const std::string_view head(stream.answer.data(), end + kHeadEnd.size());
    const std::string_view length = ValueOf(head, "Content-Length: ");
    size_t body = 0;
    std::from_chars(length.data(), length.data() + length.size(), body);
    if (stream.answer.size() < head.size() + body) return;
    stream.head_bytes = head.size();
    Client& client = *std::exchange(service.client, nullptr);
    service.stream = nullptr;
    idle_.push_back(&service);
    --client.waiting;
    if (client.is_closed) return;
    const nghttp2_nv fields[] = {Field(":status", head.substr(9, 3)),
                                 Field("content-type", ValueOf(head, "Content-Type: ")),
                                 Field("content-length", length)};
    const nghttp2_data_provider provider = {.source = {.ptr = &stream},
                                            .read_callback = OnReadBody};
    if (nghttp2_submit_response(client.session, service.stream_id, fields, 3, &provider) != 0) {
      Die("nghttp2_submit_response");
    }
    Touch(client);
  }

  static ssize_t OnReadBody(nghttp2_session*, int32_t, uint8_t* buffer, size_t length,
                            uint32_t* flags, nghttp2_data_source* source, void*) {
    Stream& stream = *static_cast<Stream*>(source->ptr);
    const size_t from = stream.head_bytes + stream.sent;
    const size_t count = stream.answer.copy(reinterpret_cast<char*>(buffer), length, from);
    stream.sent += count;
    if (from + count == stream.answer.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(count);
  }

  // A stream that its client gave up stays with the service's connection, and is not used again.
  static int OnStreamClosed(nghttp2_session* session, int32_t id, uint32_t error, void* user_data) {
    Stream* const stream = StreamOf(session, id);
    if (stream == nullptr || error != NGHTTP2_NO_ERROR) return 0;
    stream->fields.clear();
    stream->answer.clear();
    stream->sent = stream->head_bytes = 0;
    Of(user_data).relay.free_streams_.push_back(stream);
    return 0;
  }

  void Send(Client& client) {
    client.is_touched = false;
    if (client.is_closed) return;
    for (const uint8_t* bytes = nullptr;;) {
      const ssize_t count = nghttp2_session_mem_send(client.session, &bytes);
      if (count < 0) return Close(client);
      if (count == 0) break;
      client.unsent.append(Text(bytes, static_cast<size_t>(count)));
    }
    if (client.unsent.empty()) return;
    const int fd = client.endpoint.socket.fd();
    const ssize_t sent = send(fd, client.unsent.data(), client.unsent.size(), 0);
    if (sent < 0 && errno != EAGAIN) return Close(client);
    client.unsent.erase(0, static_cast<size_t>(std::max<ssize_t>(sent, 0)));
    if (!client.unsent.empty()) epoll_.Modify(fd, kEvents | EPOLLOUT, &client.endpoint);
  }

  const sockaddr_in upstream_;
  Socket listener_;
  Epoll epoll_;
  std::vector<char> buffer_;
  std::string request_;
  nghttp2_session_callbacks* callbacks_ = nullptr;
  nghttp2_option* option_ = nullptr;
  std::vector<std::unique_ptr<Client>> clients_;
  std::vector<std::unique_ptr<Service>> services_;
  std::vector<Service*> idle_;
  std::vector<std::unique_ptr<Stream>> streams_;
  std::vector<Stream*> free_streams_;
  // Of this turn.
  std::vector<Service*> asked_;
  std::vector<Client*> touched_;
};

}  // namespace
}  // namespace outrigger::bench

int main(int argc, char** argv) {
  using namespace outrigger::bench;
  Flags flags(argc, argv);
  const sockaddr_in listen = flags.Address("listen", "127.0.0.1:0");
  const sockaddr_in upstream = flags.Address("upstream", "");
  flags.RefuseUnknown();
  PrepareToServe();
  Http2Relay relay(listen, upstream);
  return Serve(relay);
}
