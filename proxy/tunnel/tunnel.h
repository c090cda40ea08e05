// Carries bytes both ways between a client and a service that have agreed on another protocol.
//
//   Tunnel tunnel(loop, {.client = stream, .from_client = std::move(body), ...}, idle_timeouts,
//   observer); const Tunnel::End end = co_await tunnel.Run(); if (end == Tunnel::End::kIdle)
//   tunnel.SayGoodbye();
//
// Each direction is a loop of its own: it reads a piece, sends it, and reads on when the other side
// has taken it, so that no more than a piece is held in each direction and a side that does not
// read stops the other. The end of one side's bytes is passed on as such and the other direction
// goes on. Every byte counts as a sign of life for both directions.
//
// Owns nothing but the client's body: `client`, `service`, `from_service` and `observer` outlive
// it. Destroying it, which cancels both loops, is for code of the loop and for whoever awaits
// Run(). One worker.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "proxy/base/pooled.h"
#include "proxy/coro/task.h"
#include "proxy/event/deadline_queue.h"
#include "proxy/event/signal.h"
#include "proxy/http/body.h"
#include "proxy/http/client_stream.h"
#include "proxy/http/server_stream.h"
#include "proxy/tunnel/websocket_frames.h"

namespace outrigger::tunnel {

class Tunnel final : public Pooled {
 public:
  enum class End : uint8_t {
    kComplete,     // both sides have ended
    kServiceGone,  // the service broke it off
    kClientGone,   // the client did
    kIdle,         // nothing has moved for too long
  };

  struct Sides {
    http::ServerStream& client;
    std::unique_ptr<http::Body> from_client;
    http::ClientStream& service;
    http::Body& from_service;
    bool is_websocket = false;
  };

  // Told of every piece, for metrics.
  class Observer {
   public:
    virtual ~Observer() = default;
    virtual void OnTunnelBytes(bool is_to_service, size_t bytes) = 0;
  };

  Tunnel(Loop& loop, Sides sides, DeadlineQueue& idle_timeouts, Observer& observer);
  ~Tunnel();

  // REQUIRES: called once.
  Task<End> Run();

  // Ends what is still open, a WebSocket with its status 1001 where a frame may stand. False: the
  // client could not be told and must not take what it has for all; abort its stream. From the
  // loop, or when Run() is done; nothing may be awaited afterwards.
  bool SayGoodbye();

 private:
  struct Direction {
    bool has_ended = false;
    WebSocketFrames frames;
    Task<void> pump;
  };

  // What both directions do with a piece.
  void Note(Direction& direction, std::string_view data);
  void EndOf(Direction& direction);
  void Finish(End end);
  Task<void> PumpUp();
  Task<void> PumpDown();

  Sides sides_;
  DeadlineQueue& idle_timeouts_;
  Observer& observer_;
  DeadlineEntry idle_;
  Signal ended_;
  std::optional<End> end_;
  Direction up_;    // from the client to the service
  Direction down_;  // from the service to the client
};

}  // namespace outrigger::tunnel
