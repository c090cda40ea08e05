// One client connection: reads requests, plays answers, one after the other.
//
// Owned by the Server; runs on its loop. Pipelined requests wait in the input until the answer
// before them is out. A client that closes, or half-closes, while its request executes counts as
// gone: the ledger says cancelled and nothing more is sent (as uvicorn and other servers of AI
// frameworks do). A connection never deletes itself: it tells the server, which does it later.

#pragma once

#include <event2/event.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "proxy/base/time.h"
#include "tools/mock-ai/answer.h"
#include "tools/mock-ai/http_request.h"
#include "tools/mock-ai/ledger.h"
#include "tools/mock-ai/service.h"

namespace outrigger::mock_ai {

struct ConnectionOptions {
  absl::Duration keepalive_idle = absl::Seconds(5);
  absl::Duration read_timeout = absl::Seconds(60);  // for one request to arrive
  bool advertises_keepalive = false;                // Keep-Alive: timeout=N
  Limits limits;
};

// What a connection needs of its server.
class ConnectionHost {
 public:
  virtual ~ConnectionHost() = default;
  // The connection is closed; delete it once its callback has returned.
  virtual void OnClosed(uint64_t connection) = 0;
  // The Date header of now.
  virtual std::string_view Date() = 0;
};

// An answer that is going out.
struct Playing {
  Exchange exchange;
  Answer answer;
  Ledger::Outcome outcome = Ledger::Outcome::kCompleted;
  MonoTime started;
  MonoTime due;  // of the latest step
  size_t step = 0;
  uint64_t filled = 0;  // of the current step's fill
  uint64_t sent_bytes = 0;
  MonoTime pace_due;
  bool closes = false;  // no further request on this connection
  bool sends_body = true;
  bool has_head = false;
  bool is_over = false;  // nothing more will be added
};

class Connection {
 public:
  // Takes over `fd`. The references live longer than the connection.
  Connection(event_base* base, int fd, Origin origin, const ConnectionOptions& options,
             Service& service, ConnectionHost& host);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Closes from outside; a running execution counts as broken.
  void Close(bool with_reset);
  bool is_admin() const { return origin_.is_admin; }

 private:
  struct EventDeleter {
    void operator()(event* ev) const { event_free(ev); }
  };
  using EventPtr = std::unique_ptr<event, EventDeleter>;

  // What follows when everything that was written has left.
  enum class After { kNothing, kNextRequest, kClose, kCloseAtOnce, kReset };
  enum class TimerUse { kNone, kIdle, kStep, kLinger, kReset };

  static void OnReadable(evutil_socket_t, short, void* self);
  static void OnWritable(evutil_socket_t, short, void* self);
  static void OnTimer(evutil_socket_t, short, void* self);
  static void OnPace(evutil_socket_t, short, void* self);

  void Read();
  // Feeds the parser and starts answers until there is nothing to do without more input.
  void Process();
  void ResetParser();
  void OnHead();
  void OnRequest();
  void OnBadRequest();
  void Start(Answer answer, Exchange exchange);

  // Adds to the output whatever is due.
  void Advance();
  bool Open();
  bool PlayStep();
  void End();
  // Body bytes, framed.
  void AppendBody(std::string_view data);
  void AppendFillPiece(const Step& step);
  // Bytes as they go out; a reset may cut them.
  void Append(std::string_view bytes);
  bool Waits(MonoTime due);
  void FinishWith(After after, Ledger::Outcome outcome);

  // Writes what the socket takes; runs what follows when all is out.
  void Flush();
  void OnFlushed();
  void Linger();
  void TryReset();
  void OnPeerGone();
  void CloseNow(Ledger::Outcome outcome, bool with_reset);

  void Arm(TimerUse use, absl::Duration delay);
  void ArmIdle();
  void WantRead(bool on);
  size_t pending() const { return out_.size() - out_sent_; }

  int fd_;
  Origin origin_;
  const ConnectionOptions& options_;
  Service& service_;
  ConnectionHost& host_;
  EventPtr readable_;
  EventPtr writable_;
  EventPtr timer_;
  EventPtr pace_timer_;
  TimerUse timer_use_ = TimerUse::kNone;
  MonoTime linger_until_;
  bool reads_ = false;
  bool is_lingering_ = false;

  std::string in_;
  size_t in_used_ = 0;
  RequestParser parser_;
  bool has_seen_head_ = false;
  bool answered_early_ = false;  // this request's body is read and dropped
  Exchange exchange_;            // of the request that is being read

  std::string out_;
  size_t out_sent_ = 0;
  After after_ = After::kNothing;
  std::optional<Playing> playing_;
};

}  // namespace outrigger::mock_ai
