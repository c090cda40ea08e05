// The HTTP/2 connections of one worker to one endpoint, shared by its requests.
//
//   Http2Pool pool(loop, buffers, endpoint, limits);
//   http2::ClientStreamPtr stream = pool.TryTake(need);          // null: ask Take()
//   Expected<http2::ClientStreamPtr, Failure> stream = co_await pool.Take(need);
//
// A request takes a stream on the oldest connection that has room. When none has, it waits, and a
// connection is made if those on their way are not enough for all who wait; a service that says it
// allows no stream at present is not asked for more connections. Waiters are served in order. A
// connection without streams closes after the keep-alive time.
//
// Failures: connect_fail, concurrency (this process is out of descriptors); nothing was sent. One
// worker; used by EndpointState and Upstream only. Destroyed from the loop.

#pragma once

#include <cstdint>
#include <vector>

#include "proxy/base/intrusive_list.h"
#include "proxy/event/deadline_queue.h"
#include "proxy/event/signal.h"
#include "proxy/http2/client_connection.h"
#include "proxy/upstream/upstream.h"

namespace outrigger::upstream {

class EndpointState;

class Http2Pool final : private http2::ClientConnection::Owner {
 public:
  Http2Pool(EventLoop& loop, net::BufferPool& buffers, EndpointState& endpoint,
            const UpstreamOptions& upstream);
  ~Http2Pool() override;

  http2::ClientStreamPtr TryTake(Upstream::Need need);
  Task<Expected<http2::ClientStreamPtr, http::Failure>> Take(Upstream::Need need);
  void CloseIdle();

  size_t idle_count() const;
  size_t active_count() const;

 private:
  // A request that has no stream yet; in a coroutine's frame.
  struct Waiter : ListNode {
    Waiter(EventLoop& loop, Upstream::Need asked)
        : need(asked), granted(loop), deadline([this] { Fail(http::Reason::kConnectFail, {}); }) {}
    void Fail(http::Reason reason, std::string_view detail);

    Upstream::Need need;
    uint64_t min_serial = 0;  // of the connection
    http2::ClientStreamPtr stream;
    http::Failure failure;
    Signal granted;
    DeadlineEntry deadline;
  };

  // http2::ClientConnection::Owner
  void OnOpen(http2::ClientConnection& connection) override;
  void OnChange(http2::ClientConnection& connection) override;
  void OnEnd(http2::ClientConnection& connection, http2::ClientConnection::End end) override;

  // One with room that may serve such a request; null: none.
  http2::ClientConnection* Find(Upstream::Need need, uint64_t min_serial);
  // The first that was not open when a request asked for a new one.
  uint64_t NewSerial() const;
  void ServeWaiters();
  void MakeEnough();
  // False: it failed at once, and who waits was told.
  bool StartConnection();
  void FailWaiters(http::Reason reason, std::string_view detail);
  void TrimIdle();
  bool is_connecting() const;

  EventLoop& loop_;
  net::BufferPool& buffers_;
  EndpointState& endpoint_;
  const size_t max_idle_;
  DeadlineQueue settings_timeouts_;
  DeadlineQueue idle_timeouts_;
  std::vector<http2::ClientConnection*> connections_;  // oldest first
  IntrusiveList<Waiter> waiters_;
  uint64_t next_serial_ = 1;
  // What a connection that is not open yet is expected to allow.
  uint32_t expected_streams_ = http2::ClientConnection::kMaxStreams;
};

}  // namespace outrigger::upstream
