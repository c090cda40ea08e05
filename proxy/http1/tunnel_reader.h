// What a client sends after its connection has become a tunnel, as a body that is pulled.
//
//   TunnelReader reader(loop, pool, socket, std::move(behind_head));
//   std::unique_ptr<http::Body> body = reader.NewBody();
//   switch (reader.Receive()) ...                      // the socket is readable
//
// Bytes are received while a read waits for them and at no other time, so that no more than a block
// is held, and none while nothing comes. Belongs to the connection; the Body may outlive it and
// then fails. One worker.

#pragma once

#include <memory>

#include "proxy/base/pooled.h"
#include "proxy/event/signal.h"
#include "proxy/http/body.h"
#include "proxy/net/read_buffer.h"
#include "proxy/net/socket.h"

namespace outrigger::http1 {

class TunnelReader : public Pooled {
 public:
  // What was received before comes first.
  TunnelReader(Loop& loop, net::BufferPool& pool, net::Socket& socket, net::ReadBuffer received);
  ~TunnelReader();

  // REQUIRES: called at most once.
  std::unique_ptr<http::Body> NewBody();
  // The end of the stream is the end of the body; an error is left to the connection.
  net::IoStatus Receive();
  // All that the client sends was received.
  bool has_ended() const { return has_ended_; }

 private:
  class BodyImpl;
  friend class BodyImpl;

  Task<http::ChunkResult> Read();

  net::BufferPool& pool_;
  net::Socket& socket_;
  net::ReadBuffer buffer_;
  size_t taken_ = 0;  // bytes of buffer_ handed out by the last read
  Signal readable_;
  BodyImpl* body_ = nullptr;
  bool is_waiting_ = false;
  bool has_ended_ = false;
};

}  // namespace outrigger::http1
