// The request bodies of executions.
//
// OwnedBody is a body that was in memory as a whole: a copy of it in the execution's arena, which
// can be peeked at and sent again. FingerprintingBody is the client's own, hashed as it streams.
// One worker.

#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "filters/idempotency/fingerprint.h"
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
  const http::HeaderList* trailers() const override { return inner_->trailers(); }

 private:
  const std::unique_ptr<http::Body> inner_;
  Fingerprinter fingerprinter_;
  Listener& listener_;
};

}  // namespace outrigger::idempotency
