// An answer on its way to the client: a head that is known and a body that is pulled.
//
//   Response& response = result.value();
//   response.Hold(std::make_unique<PermitLease>(std::move(permit)));   // until the body's end
//
// Views in `headers` point into memory that the body or a held lease keeps alive until the first
// Read() of the body; who reads before passing the response on copies them first
// (HeaderList::CopyInto). Whatever must last until the
// end of the stream is held as a Lease: the driver calls OnStreamEnd() when the last byte was
// handed to the client, with how the stream ended; a lease destroyed without that was abandoned
// (client gone, attempt discarded). Leases are destroyed in reverse order of Hold(), before the
// body. Move-only. One worker.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "proxy/base/pooled.h"
#include "proxy/http/body.h"
#include "proxy/http/failure.h"
#include "proxy/http/grpc_state.h"
#include "proxy/http/headers.h"
#include "proxy/http/reason.h"
#include "proxy/http/stream_state.h"

namespace outrigger::http {

class ClientStream;

enum class StreamOutcome : uint8_t {
  kComplete,    // the framed end, and for streams with a known grammar the terminal event
  kErrorEvent,  // the service said so in the stream
  kCut,         // the service ended it early, or lied about its length
  kStall,       // a timer of ours ended it
  kClientGone,
};

enum class StreamError : uint8_t { kNone, kThrottled, kServer, kInvalid };

class Lease : public Pooled {
 public:
  virtual ~Lease() = default;
  virtual void OnStreamEnd(StreamOutcome /*outcome*/) {}

 private:
  friend class Response;
  std::unique_ptr<Lease> next_;
};

class Response {
 public:
  Response() = default;
  Response(Response&&) = default;
  // What was there goes as by the destructor: leases before the body, which member after member
  // would turn round.
  Response& operator=(Response&& other) noexcept {
    if (this != &other) {
      std::destroy_at(this);
      std::construct_at(this, std::move(other));
    }
    return *this;
  }

  int status = 0;
  HeaderList headers;
  // The body, or, when `has_body` is false, only what keeps the views in `headers` alive.
  std::unique_ptr<Body> body;
  bool has_body = false;
  std::optional<uint64_t> body_length;  // unset: not known before its end
  bool is_framed = true;                // false: the body ends by closing, so its end proves little
  // The service has agreed to a tunnel (status 101): where the client's bytes go; `body` has what
  // the service sends. Owned by the body. Null: an ordinary answer.
  ClientStream* tunnel = nullptr;
  // kNone: from upstream. Otherwise the proxy made it, and why.
  Reason reason = Reason::kNone;
  // Set for text/event-stream from upstream; owned by the body.
  const StreamState* stream = nullptr;
  // Set for the answer to a gRPC call from upstream; owned by the body, also when there is none.
  const GrpcState* grpc = nullptr;
  // The status was made from an error event that came before any content (RT-5).
  StreamError stream_error = StreamError::kNone;

  void Hold(std::unique_ptr<Lease> lease) {
    lease->next_ = std::move(leases_);
    leases_ = std::move(lease);
  }
  // Tells every lease how the stream ended and gives them back. The innermost held comes last.
  void EndStream(StreamOutcome outcome) {
    while (leases_ != nullptr) {
      leases_->OnStreamEnd(outcome);
      leases_ = std::move(leases_->next_);
    }
  }

 private:
  std::unique_ptr<Lease> leases_;
};

// What the chain returns for a request: a response or the reason why there is none. Every filter
// hands it on, so it is a pointer to the one or the other in pooled memory, and moving it is cheap.
class [[nodiscard]] Result {
 public:
  // Implicit, so that a filter can `co_return response;` or `co_return failure;`.
  Result(Response response)  // NOLINT
      : response_(std::make_unique<Boxed<Response>>(std::move(response))) {}
  Result(const Failure& failure)  // NOLINT
      : failure_(std::make_unique<Boxed<Failure>>(failure)) {}

  bool ok() const { return response_ != nullptr; }

  // REQUIRES: ok().
  Response& value() & { return Checked(response_); }
  const Response& value() const& { return Checked(response_); }
  Response&& value() && { return std::move(Checked(response_)); }
  Response* operator->() { return &value(); }
  const Response* operator->() const { return &value(); }
  Response& operator*() & { return value(); }
  const Response& operator*() const& { return value(); }

  // REQUIRES: !ok().
  Failure& error() & { return Checked(failure_); }
  const Failure& error() const& { return Checked(failure_); }

 private:
  template <class T>
  struct Boxed : Pooled {
    explicit Boxed(T of) : value(std::move(of)) {}
    T value;
  };

  template <class T>
  static T& Checked(const std::unique_ptr<Boxed<T>>& box) {
    if (box == nullptr) std::abort();
    return box->value;
  }

  std::unique_ptr<Boxed<Response>> response_;
  std::unique_ptr<Boxed<Failure>> failure_;
};

}  // namespace outrigger::http
