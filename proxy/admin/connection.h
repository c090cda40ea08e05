// One client of the admin port: reads requests, writes replies, one at a time.
//
// The owner hears of everything through Owner and destroys the connection when told that it ended,
// never from within one of its callbacks. Time is limited for each step: a request must be complete
// within `request_timeout` of its first chance to begin, a reply must be taken within
// `write_timeout`, and between requests the connection may idle for `idle_timeout`. While an answer
// is being waited for, only the client's leaving ends it. The admin thread.

#pragma once

#include <event2/bufferevent.h>

#include <cstdint>
#include <memory>

#include "absl/time/time.h"
#include "proxy/admin/endpoints.h"
#include "proxy/admin/loop.h"
#include "proxy/admin/request.h"

namespace outrigger::admin {

struct BuffereventFree {
  void operator()(bufferevent* bev) const { bufferevent_free(bev); }
};
using BuffereventPtr = std::unique_ptr<bufferevent, BuffereventFree>;

class Connection {
 public:
  struct Limits {
    RequestLimits request;
    absl::Duration request_timeout = absl::Seconds(5);
    absl::Duration idle_timeout = absl::Seconds(90);  // Prometheus scrapes every 15 s to 60 s
    absl::Duration write_timeout = absl::Seconds(10);
    absl::Duration linger_timeout = absl::Seconds(1);
  };

  class Owner {
   public:
    virtual ~Owner() = default;
    // Nothing when Answer() will be called later.
    virtual std::optional<Reply> OnRequest(Connection& connection, const Request& request) = 0;
    // The connection is over; it may be destroyed once the current callback has returned.
    virtual void OnEnd(Connection& connection) = 0;
  };

  // Takes over `fd`.
  Connection(Loop& loop, Owner& owner, const Limits& limits, uint64_t id, int fd,
             bool is_from_loopback);

  uint64_t id() const { return id_; }
  // Could be closed without harm: no request is being answered.
  bool is_idle() const { return state_ == State::kReading || state_ == State::kLingering; }
  bool is_writing() const { return state_ == State::kWriting; }
  // The reply that is being written, or the next one, is the last.
  void CloseAfterReply() { may_keep_alive_ = false; }
  // The answer to the request that OnRequest left open. Ignored when there is none.
  void Answer(const Reply& reply);

 private:
  // kLingering: everything is sent and our side shut down; what the client still sends is read
  // away, because closing over unread bytes would reset the connection and lose the reply.
  enum class State : uint8_t { kReading, kAnswering, kWriting, kLingering, kEnded };

  static void OnReadable(bufferevent* bev, void* self);
  static void OnWritten(bufferevent* bev, void* self);
  static void OnEvent(bufferevent* bev, short what, void* self);
  static void OnDeadline(evutil_socket_t fd, short what, void* self);

  void ParseBuffered();
  void Write(const Reply& reply);
  void End();
  void Arm(absl::Duration timeout);

  Owner& owner_;
  const Limits& limits_;
  const uint64_t id_;
  const bool is_from_loopback_;
  State state_ = State::kReading;
  bool is_head_request_ = false;
  bool keeps_alive_ = false;  // as the request says
  bool may_keep_alive_ = true;
  bool has_peer_finished_ = false;
  bool has_partial_request_ = false;
  BuffereventPtr bev_;
  EventPtr deadline_;
};

}  // namespace outrigger::admin
