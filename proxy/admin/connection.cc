#include "proxy/admin/connection.h"

#include <event2/buffer.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <string>
#include <string_view>

namespace outrigger::admin {
namespace {

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 400:
      return "Bad Request";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    default:
      return "";
  }
}

}  // namespace

Connection::Connection(Loop& loop, Owner& owner, const Limits& limits, uint64_t id, int fd,
                       bool is_from_loopback)
    : owner_(owner),
      limits_(limits),
      id_(id),
      is_from_loopback_(is_from_loopback),
      bev_(bufferevent_socket_new(loop.base(), fd, BEV_OPT_CLOSE_ON_FREE)),
      deadline_(loop.NewTimer(OnDeadline, this)) {
  bufferevent_setcb(bev_.get(), OnReadable, OnWritten, OnEvent, this);
  // Reading goes on while an answer is awaited, so that the client's leaving is seen; the mark
  // bounds what a client may pile up meanwhile.
  bufferevent_setwatermark(bev_.get(), EV_READ, 0,
                           limits.request.head_bytes + limits.request.body_bytes);
  bufferevent_enable(bev_.get(), EV_READ | EV_WRITE);
  Arm(limits.request_timeout);
}

void Connection::Arm(absl::Duration timeout) {
  const timeval delay = ToDelay(timeout);
  evtimer_add(deadline_.get(), &delay);
}

void Connection::OnReadable(bufferevent*, void* self) {
  auto& connection = *static_cast<Connection*>(self);
  if (connection.state_ == State::kReading) connection.ParseBuffered();
  if (connection.state_ == State::kLingering) {
    evbuffer* input = bufferevent_get_input(connection.bev_.get());
    evbuffer_drain(input, evbuffer_get_length(input));
  }
}

void Connection::ParseBuffered() {
  evbuffer* input = bufferevent_get_input(bev_.get());
  const size_t size = evbuffer_get_length(input);
  if (size == 0) return;
  const char* bytes = reinterpret_cast<const char*>(evbuffer_pullup(input, -1));
  Request request;
  const ParseResult result = ParseRequest({bytes, size}, limits_.request, request);
  switch (result.state) {
    case ParseState::kNeedMore:
      // The deadline is for the whole request: later bytes do not move it.
      if (!has_partial_request_) Arm(limits_.request_timeout);
      has_partial_request_ = true;
      return;
    case ParseState::kBad: {
      keeps_alive_ = false;
      is_head_request_ = false;
      Reply reply;
      reply.status = result.status;
      reply.body = fmt::format("{}\n", result.problem);
      Write(reply);
      return;
    }
    case ParseState::kDone:
      break;
  }
  evbuffer_drain(input, result.consumed);
  has_partial_request_ = false;
  evtimer_del(deadline_.get());
  keeps_alive_ = request.keeps_alive;
  is_head_request_ = request.method == "HEAD";
  request.is_from_loopback = is_from_loopback_;
  request.client = id_;
  state_ = State::kAnswering;
  if (std::optional<Reply> reply = owner_.OnRequest(*this, request)) Write(*reply);
}

void Connection::Answer(const Reply& reply) {
  if (state_ == State::kAnswering) Write(reply);
}

void Connection::Write(const Reply& reply) {
  state_ = State::kWriting;
  std::string head = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n"
      "X-Content-Type-Options: nosniff\r\n",
      reply.status, ReasonPhrase(reply.status), reply.content_type, reply.body.size());
  if (!reply.allow.empty()) head += fmt::format("Allow: {}\r\n", reply.allow);
  if (!keeps_alive_ || !may_keep_alive_) head += "Connection: close\r\n";
  head += "\r\n";
  evbuffer* output = bufferevent_get_output(bev_.get());
  evbuffer_add(output, head.data(), head.size());
  if (!is_head_request_) evbuffer_add(output, reply.body.data(), reply.body.size());
  Arm(limits_.write_timeout);
}

void Connection::OnWritten(bufferevent*, void* self) {
  auto& connection = *static_cast<Connection*>(self);
  if (connection.state_ != State::kWriting) return;
  if (connection.has_peer_finished_) {
    connection.End();
    return;
  }
  if (!connection.keeps_alive_ || !connection.may_keep_alive_) {
    shutdown(bufferevent_getfd(connection.bev_.get()), SHUT_WR);
    connection.state_ = State::kLingering;
    connection.Arm(connection.limits_.linger_timeout);
    OnReadable(connection.bev_.get(), self);
    return;
  }
  connection.state_ = State::kReading;
  connection.Arm(connection.limits_.idle_timeout);
  connection.ParseBuffered();
}

void Connection::OnEvent(bufferevent*, short what, void* self) {
  auto& connection = *static_cast<Connection*>(self);
  // A client that shuts down its sending side after a request still wants the answer, unless the
  // answer is one that somebody waits for: then it has left.
  if ((what & BEV_EVENT_EOF) != 0 && connection.state_ == State::kWriting) {
    connection.has_peer_finished_ = true;
    return;
  }
  if ((what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) != 0) connection.End();
}

void Connection::OnDeadline(evutil_socket_t, short, void* self) {
  static_cast<Connection*>(self)->End();
}

void Connection::End() {
  if (state_ == State::kEnded) return;
  state_ = State::kEnded;
  evtimer_del(deadline_.get());
  bufferevent_disable(bev_.get(), EV_READ | EV_WRITE);
  owner_.OnEnd(*this);
}

}  // namespace outrigger::admin
