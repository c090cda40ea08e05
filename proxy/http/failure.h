// Why a request has no response: what a filter or the router returns instead of a Response.
//
// A Failure is a verdict, not yet an answer: retry may try again, the driver turns what is left into
// a local reply (local_reply.h). `executed` is the classifier's question (semantics B0.2): may the
// service have begun to act on the request?

#pragma once

#include <cstdint>
#include <string_view>

#include "absl/time/time.h"
#include "proxy/http/reason.h"

namespace outrigger::http {

// May the service have executed the request? Ordered: a request's verdict is the maximum over its
// attempts.
enum class Executed : uint8_t { kNo, kMaybe, kYes };

// Whether executing a request twice is harmful (declared by route, preset or method; B0.2).
enum class Effects : uint8_t {
  kNone,   // pure computation: a second run costs money but corrupts nothing
  kKeyed,  // the service itself deduplicates by the forwarded Idempotency-Key
  kUnsafe,
};

// How far the request had come.
enum class Phase : uint8_t {
  kLocal,         // refused by the proxy itself; nothing was sent
  kConnect,       // no connection could be made
  kSending,       // bytes of the request may have been received
  kAwaitingHead,  // the request was sent completely
  kBody,          // the response's head had arrived, its body failed
};

struct Failure {
  Reason reason = Reason::kNone;
  Phase phase = Phase::kLocal;
  Executed executed = Executed::kNo;
  // The wait to ask of the client (Retry-After); zero: the reason's default.
  absl::Duration retry_after = absl::ZeroDuration();
  // An attempt on a kept-alive connection that the peer had closed before any response byte: may
  // be sent again once, on a new connection, without spending budget (B0.2, TO-9).
  bool on_reused_connection = false;
  // Of kIdemUnknown: the status that was given first (502 or 504); 0: the reason's own.
  uint16_t status = 0;
  // An unsafe request with a key whose outcome will stay unknown (ID-6).
  bool is_outcome_unknown = false;
  // For people, in the problem's detail; static text.
  std::string_view detail = {};
};

}  // namespace outrigger::http
