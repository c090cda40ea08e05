// An answer on its way to the client: a head that is known and a body that is pulled.
//
//   Response& response = result.value();
//   response.Hold(std::make_unique<PermitLease>(std::move(permit)));   // until the body's end
//
// Views in `headers` point into memory that the body or a held lease keeps alive (the upstream
// connection's buffer, an arena), so head and body are used together. Whatever must last until the
// end of the stream is held as a Lease: the driver calls OnStreamEnd() when the last byte was
// handed to the client, with how the stream ended; a lease destroyed without that was abandoned
// (client gone, attempt discarded). Leases are destroyed in reverse order of Hold(), before the
// body. Move-only. One worker.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "proxy/base/pooled.h"
#include "proxy/http/body.h"
#include "proxy/http/headers.h"
#include "proxy/http/reason.h"
#include "proxy/http/stream_state.h"

namespace outrigger::http {

enum class StreamOutcome : uint8_t {
  kComplete,    // the framed end, and for streams with a known grammar the terminal event
  kErrorEvent,  // the service said so in the stream
  kCut,         // the service ended it early, or lied about its length
  kStall,       // a timer of ours ended it
  kClientGone,
};

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
  Response& operator=(Response&&) = default;

  int status = 0;
  HeaderList headers;
  std::unique_ptr<Body> body;           // null: no body
  std::optional<uint64_t> body_length;  // unset: not known before its end
  // kNone: from upstream. Otherwise the proxy made it, and why.
  Reason reason = Reason::kNone;
  // Set for text/event-stream from upstream; owned by the body.
  const StreamState* stream = nullptr;

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

// What the chain returns for a request.
using Result = Expected<Response, Failure>;

}  // namespace outrigger::http
