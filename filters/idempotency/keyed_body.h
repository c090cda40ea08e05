// The request bodies of executions.
//
// OwnedBody is a body that was in memory as a whole: a copy of it in the execution's arena, which
// can be peeked at and sent again. FingerprintingBody is the client's own, hashed as it streams; of
// a client that leaves it keeps what had arrived. One worker.

#pragma once

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
  // Told once, when the last byte has been read.
  class Listener {
   public:
    virtual void OnRequestRead(const Fingerprint& fingerprint) = 0;

   protected:
    ~Listener() = default;
  };

  // `listener` outlives the body.
  FingerprintingBody(std::unique_ptr<http::Body> inner, Fingerprinter fingerprinter,
                     Listener& listener)
      : inner_(std::move(inner)), fingerprinter_(std::move(fingerprinter)), listener_(listener) {}

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
  Fingerprinter fingerprinter_;
  Listener& listener_;
  std::string rest_;
  BudgetLease rest_charge_;
  http::HeaderList rest_trailers_;
  bool is_reading_ = false;
};

}  // namespace outrigger::idempotency
