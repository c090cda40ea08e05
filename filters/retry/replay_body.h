// A request body that can be read again by the next attempt (semantics RT-6).
//
//   auto owned = std::make_unique<ReplayBody>(std::move(request.body), request.body_length,
//   limits); ReplayBody* replay = owned.get(); request.body = std::move(owned);
//   ... an attempt reads some of it and is dropped ...
//   if (replay->can_replay()) replay->Rewind();
//   ... the next attempt reads the kept part first and then the live rest ...
//   replay->Release();                              // no further attempt
//
// Every chunk is copied before it is handed on, so that dropping a read loses no byte. A body that
// is over the limit of one request, of the pool, or that comes while the process has no memory to
// spare is no longer kept: it streams on, and cannot be replayed once its first byte was read.
//
// Owns the live body, and stays in the request after the filter is gone: an early answer may come
// while the rest is still being sent. It needs nothing of the filter. One worker, one read at a
// time.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "proxy/base/memory_budget.h"
#include "proxy/http/body.h"

namespace outrigger::retry {

class ReplayBody final : public http::Body {
 public:
  struct Limits {
    size_t max_bytes = 0;                // of this body
    MemoryBudget* memory = nullptr;      // of the process; outlives all requests
    std::shared_ptr<MemoryBudget> pool;  // of all kept bodies together
  };
  // Above this part of the process's memory nothing new is kept (LM-8).
  static constexpr unsigned kMemoryPercent = 80;
  // The unit of memory; fits the pool of small objects.
  static constexpr size_t kBlockBytes = 4096;

  // `length` as stated by the client. A body that states too much is not kept from the start.
  ReplayBody(std::unique_ptr<http::Body> live, std::optional<uint64_t> length,
             const Limits& limits);

  Task<http::ChunkResult> Read() override;
  // Only while nothing was read.
  std::optional<std::string_view> Peek() const override;
  const http::HeaderList* trailers() const override { return live_->trailers(); }

  // Another attempt can have the body from its first byte on.
  bool can_replay() const { return is_keeping_ || !is_read_; }
  // It was given up, or never tried, to keep the body.
  bool is_unbuffered() const { return !is_keeping_ && !is_released_; }
  // The next Read() begins at the first byte. REQUIRES: can_replay(), no Read() is outstanding.
  void Rewind() { position_ = 0; }
  // Gives the memory back as soon as everything kept was handed on.
  void Release();

 private:
  struct Block : Pooled {
    char bytes[kBlockBytes];
  };

  // Gives up when a limit is reached.
  void Keep(std::string_view data);
  void GiveUp();
  http::Chunk NextKept();

  const std::unique_ptr<http::Body> live_;
  const size_t max_bytes_;
  const std::shared_ptr<MemoryBudget> pool_;
  BudgetLease memory_lease_;
  BudgetLease pool_lease_;
  std::vector<std::unique_ptr<Block>> blocks_;
  size_t kept_bytes_ = 0;
  size_t position_ = 0;  // of the reader, in what is kept
  std::optional<http::Failure> failure_;
  bool is_keeping_ = true;
  bool is_released_ = false;
  bool is_view_kept_ = false;  // what was handed on last points into a block
  bool is_read_ = false;       // some byte was handed on, in whichever attempt
  bool is_ended_ = false;      // the live body
};

}  // namespace outrigger::retry
