// What a stream has to send: bytes that wait for the peer's windows and the connection, then the
// end or trailers. The source of a session's DATA frames.
//
//   nghttp2_data_provider provider = body.provider();      // with the head
//   body.Append(data);  body.Finish(&trailers);            // then resume the stream when
//   is_deferred()
//
// Bytes that are lent with Lend() are sent from where they are; Keep() copies what is left before
// their owner goes on. Kept bytes are charged to the budget. Belongs to its stream, which outlives
// the nghttp2 stream's use of it. One worker.

#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "proxy/base/arena.h"
#include "proxy/base/memory_budget.h"
#include "proxy/base/pooled.h"
#include "proxy/http/headers.h"
#include "proxy/http2/incoming_body.h"

namespace outrigger::http2 {

class OutgoingBody {
 public:
  explicit OutgoingBody(MemoryBudget& budget) : lease_(&budget) {}

  nghttp2_data_provider provider() { return {.source = {.ptr = this}, .read_callback = OnRead}; }

  void Append(std::string_view data);
  // REQUIRES: empty(); Keep() follows before `data` goes.
  void Lend(std::string_view data) { lent_ = data; }
  void Keep();
  // No more bytes. `trailers`, which may be null or empty, are copied.
  void Finish(const http::HeaderList* trailers);
  void Clear();

  size_t size() const { return kept_.size() - kept_sent_ + lent_.size(); }
  bool empty() const { return size() == 0; }
  // The session found nothing to send and must be told of more.
  bool is_deferred() const { return is_deferred_; }

  // For the session: the next bytes, as many as OnRead said.
  std::string_view Front(size_t bytes) const;
  void Consume(size_t bytes);

 private:
  static ssize_t OnRead(nghttp2_session* session, int32_t stream_id, uint8_t* buffer, size_t length,
                        uint32_t* flags, nghttp2_data_source* source, void* user_data);

  std::vector<char, PooledAllocator<char>> kept_;
  size_t kept_sent_ = 0;
  std::string_view lent_;
  BudgetLease lease_;
  Arena trailer_arena_{IncomingBody::kTrailerBlockBytes};
  http::HeaderList trailers_{IncomingBody::kUsualTrailers};
  bool is_finished_ = false;
  bool is_deferred_ = false;
};

}  // namespace outrigger::http2
