// Reads the body of the request that a server connection is serving, while the head stays in place.
//
// The bytes that came with the head are used where they are. A body that fits behind the head is
// received there, so that it can be peeked at and sent upstream in one piece; a larger one gets a
// second, large block. What follows the body (a pipelined request) is left for the connection.
// Belongs to the connection; the Body it makes may outlive it and then fails. One worker.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "proxy/base/pooled.h"
#include "proxy/event/signal.h"
#include "proxy/http/body.h"
#include "proxy/http1/chunked_decoder.h"
#include "proxy/http1/framing.h"
#include "proxy/net/read_buffer.h"
#include "proxy/net/socket.h"

namespace outrigger::http1 {

class RequestReader : public Pooled {
 public:
  // What the reader asks of its connection.
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void SendContinue() = 0;
    // A read of the body waits for bytes, or no longer does.
    virtual void OnBodyWait(bool is_waiting) = 0;
  };

  // `head_buffer` begins with the head of `head_bytes`; its bytes do not move while the reader
  // lives.
  RequestReader(Owner& owner, EventLoop& loop, net::BufferPool& pool, net::Socket& socket,
                net::ReadBuffer& head_buffer, size_t head_bytes, const RequestFraming& framing,
                std::optional<uint64_t> max_body_bytes);
  ~RequestReader();

  // The body for the request; null when there is none. REQUIRES: called at most once.
  std::unique_ptr<http::Body> NewBody();

  // The socket is readable: receives into whatever buffer has room, or pauses.
  net::IoStatus Receive();
  // Nothing more will come: a body that is not complete with what was received fails.
  void OnEndOfStream();
  // Fails the body, for example when the client stalls or leaves.
  void Fail(http::Reason reason);

  // Whether the body is known to have been received to its end.
  bool is_received() const { return is_done_ || Peek().has_value(); }
  // Whether it has; takes what is in the buffers to find out.
  bool DiscardReceived();
  bool is_waiting() const { return is_waiting_; }
  uint64_t body_bytes() const { return body_bytes_; }

  // After the exchange: what follows the body, as the connection's buffer. REQUIRES: the body's end
  // was received.
  void LeaveRest();

 private:
  class BodyImpl;
  friend class BodyImpl;

  // The next piece, decoded; empty when more must be received.
  std::string_view Take();
  std::string_view Decode(std::string_view input, size_t& consumed);
  std::string_view unread() const;
  void Skip(size_t bytes);
  // What is known without waiting; nothing while a read waits.
  std::optional<http::ChunkResult> TryRead();
  Task<http::ChunkResult> Read();
  std::optional<std::string_view> Peek() const;

  Owner& owner_;
  net::BufferPool& pool_;
  net::Socket& socket_;
  net::ReadBuffer& head_buffer_;
  net::ReadBuffer body_buffer_;
  size_t head_offset_;  // of the first unread byte in head_buffer_
  size_t taken_ = 0;    // bytes handed out by the last Take(), to skip at the next
  BodyFraming framing_;
  uint64_t left_;  // of a body with a length
  uint64_t body_bytes_ = 0;
  std::optional<uint64_t> max_body_bytes_;
  ChunkedDecoder decoder_;
  Signal readable_;
  BodyImpl* body_ = nullptr;
  http::Reason failure_ = http::Reason::kNone;
  bool fits_behind_head_;
  bool is_done_;
  bool is_ended_ = false;  // the client has closed its side
  bool is_waiting_ = false;
  bool owes_continue_;
};

}  // namespace outrigger::http1
