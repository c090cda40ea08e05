// A message body that is pulled, chunk by chunk, with backpressure by not pulling.
//
//   for (;;) {
//     Expected<Chunk, Failure> chunk = co_await body->Read();
//     if (!chunk.ok()) ...                       // reset, stall, lie about the length
//     Consume(chunk->data);
//     if (chunk->is_last) break;
//   }
//
// Filters put their own Body around another one (to record, to count, to time out). A Body is owned
// by its message; destroying it before the end gives up the rest. One worker; one Read() at a time.

#pragma once

#include <optional>
#include <string_view>

#include "proxy/base/expected.h"
#include "proxy/base/pooled.h"
#include "proxy/coro/task.h"
#include "proxy/http/failure.h"
#include "proxy/http/headers.h"

namespace outrigger::http {

struct Chunk {
  // Valid until the next Read() or the end of the body object. May be empty.
  std::string_view data;
  bool is_last = false;
};

using ChunkResult = Expected<Chunk, Failure>;

class Body : public Pooled {
 public:
  Body() = default;
  virtual ~Body() = default;
  Body(const Body&) = delete;
  Body& operator=(const Body&) = delete;

  // Waits for the next bytes. REQUIRES: neither the last chunk nor a failure was returned yet.
  virtual Task<ChunkResult> Read() = 0;

  // What Read() would return, if that is known without waiting; spares the usual small body a
  // coroutine. Nothing: ask Read().
  virtual std::optional<ChunkResult> TryRead() { return std::nullopt; }

  // The whole rest of the body when it is in memory already, so that it can be sent together with
  // the head; consumes nothing. Valid until the next Read().
  virtual std::optional<std::string_view> Peek() const { return std::nullopt; }

  // The trailer section; null when there is none. Set once Read() has returned the last chunk.
  virtual const HeaderList* trailers() const { return nullptr; }
};

}  // namespace outrigger::http
