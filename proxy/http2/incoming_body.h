// What a stream receives: DATA that waits to be read, within the window that the stream was given.
//
//   IncomingBody incoming(owner, loop, pool, max_bytes);
//   request.body = incoming.NewBody();
//   incoming.Append(data);  incoming.End();     // while nghttp2 runs: only recorded
//   incoming.Wake();                            // afterwards, from the loop
//
// The window is given back for bytes that the reader has done with, so that at most one window's
// worth is held, in one pooled block beside the one being read. Belongs to its stream; the Body it
// makes may outlive it and then fails. One worker.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "proxy/base/arena.h"
#include "proxy/event/signal.h"
#include "proxy/http/body.h"
#include "proxy/net/read_buffer.h"

namespace outrigger::http2 {

class IncomingBody {
 public:
  // Fits a large block.
  static constexpr int32_t kWindowBytes = 65535;
  static constexpr size_t kMaxTrailerBytes = 8 * 1024;
  static constexpr size_t kMaxTrailerFields = 100;
  // Enough for the trailers of nearly all calls.
  static constexpr size_t kTrailerBlockBytes = 192;
  static constexpr size_t kUsualTrailers = 4;

  class Owner {
   public:
    virtual ~Owner() = default;
    // The reader has done with so many bytes.
    virtual void OnBodyConsumed(size_t bytes) = 0;
    // A read waits for bytes, or no longer does.
    virtual void OnBodyWait(bool is_waiting) = 0;
  };

  IncomingBody(Owner& owner, Loop& loop, net::BufferPool& pool)
      : owner_(owner), pool_(pool), readable_(loop) {}
  ~IncomingBody();

  std::unique_ptr<http::Body> NewBody();

  // REQUIRES: within kWindowBytes of what was consumed. Bytes above the expected length are
  // dropped.
  void Append(std::string_view data);
  // False: such a trailer is not accepted (RFC 9110, 6.5.1), or there are too many.
  bool AddTrailer(std::string_view name, std::string_view value);
  void End() { is_ended_ = true; }
  void Fail(http::Reason reason) { Fail(http::Failure{.reason = reason}); }
  void Fail(const http::Failure& failure);
  // The same, told behind the bytes that came before.
  void FailBehind(const http::Failure& failure);
  // Wakes a reader that waits. From the loop.
  void Wake();

  void SetMaxBytes(std::optional<uint64_t> bytes) { max_bytes_ = bytes; }
  // What Content-Length announced (RFC 9113, 8.1.1).
  void Expect(std::optional<uint64_t> bytes) { expected_bytes_ = bytes; }
  // Whether as much came as was announced, or may still come when nothing has ended.
  bool IsAsExpected(bool is_end) const {
    if (!expected_bytes_.has_value()) return true;
    return is_end ? received_bytes_ == *expected_bytes_ : received_bytes_ <= *expected_bytes_;
  }
  bool is_ended() const { return is_ended_; }
  bool has_trailers() const { return !trailers_.empty(); }
  // All that was received.
  uint64_t received_bytes() const { return received_bytes_; }

 private:
  class BodyImpl;

  bool has_failed() const { return failure_.reason != http::Reason::kNone; }
  bool has_news() const { return !incoming_.empty() || is_ended_ || has_failed(); }
  // REQUIRES: has_news().
  http::ChunkResult Take();
  Task<http::ChunkResult> Read();

  Owner& owner_;
  net::BufferPool& pool_;
  Signal readable_;
  net::ReadBuffer incoming_;
  net::ReadBuffer reading_;  // what the reader was given last
  Arena trailer_arena_{kTrailerBlockBytes};
  http::HeaderList trailers_{kUsualTrailers};
  size_t trailer_bytes_ = 0;
  std::optional<uint64_t> max_bytes_;
  std::optional<uint64_t> expected_bytes_;
  uint64_t received_bytes_ = 0;
  BodyImpl* body_ = nullptr;
  http::Failure failure_;
  bool fails_behind_ = false;
  bool is_ended_ = false;
  bool is_waiting_ = false;
};

}  // namespace outrigger::http2
