// The request bodies of executions.
//
// OwnedBody is a body that was in memory as a whole: a copy of it in the execution's arena, which
// can be peeked at and sent again. FingerprintingBody is the client's own, hashed as it streams; of
// a client that leaves it keeps what had arrived. One worker.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "filters/idempotency/fingerprint.h"
#include "proxy/base/arena.h"
#include "proxy/base/memory_budget.h"
#include "proxy/http/body.h"

namespace outrigger::idempotency {

class OwnedBody final : public http::Body {
 public:
  // `bytes` outlive the body.
  explicit OwnedBody(std::string_view bytes) : bytes_(bytes) {}

  Task<http::ChunkResult> Read() override;
  std::optional<std::string_view> Peek() const override {
    if (is_read_) return std::nullopt;
    return bytes_;
  }

 private:
  const std::string_view bytes_;
  bool is_read_ = false;
};

class FingerprintingBody final : public http::Body {
 public:
  class Listener {
   public:
    // Once, when the last byte has been read. Of a body whose length is known that may be before
    // its end: many HTTP/2 clients send the end in a frame of its own, and a quick service answers
    // before that has come.
    virtual void OnRequestRead(const Fingerprint& fingerprint) = 0;
    // Once, after it: the end has been read.
    virtual void OnRequestEnded() = 0;

   protected:
    ~Listener() = default;
  };

  // `length` as the head stated it, which the codec sees to. `listener` outlives the body.
  FingerprintingBody(std::unique_ptr<http::Body> inner, std::optional<uint64_t> length,
                     Fingerprinter fingerprinter, Listener& listener)
      : inner_(std::move(inner)),
        length_(length),
        fingerprinter_(std::move(fingerprinter)),
        listener_(listener) {}

  Task<http::ChunkResult> Read() override;
  const http::HeaderList* trailers() const override;

  // The client leaves. True: all of the body had arrived; what was not read of it yet is kept here,
  // and the listener was told. False: some of it never will. From the loop, while nothing of it is
  // being read; `arena`, `budget` and the listener outlive the body.
  bool TakeRest(Arena& arena, MemoryBudget& budget);

 private:
  class ReadingMark;

  void Note(const http::Chunk& chunk);

  std::unique_ptr<http::Body> inner_;  // null: the rest is here
  const std::optional<uint64_t> length_;
  uint64_t received_ = 0;
  bool is_read_ = false;  // the listener was told
  Fingerprinter fingerprinter_;
  Listener& listener_;
  std::string rest_;
  BudgetLease rest_charge_;
  http::HeaderList rest_trailers_;
  bool is_reading_ = false;
};

}  // namespace outrigger::idempotency
