// The status of a gRPC call: the codes, their names, and what they say in terms of HTTP.
//
//   const std::optional<int> status = StatusIn(*trailers);       // 14
//   CodeName(14) == "UNAVAILABLE";  HttpStatusOf(14) == 503;
//
// Codes that gRPC does not define are kept as they are; clients take them for UNKNOWN. Pure; any
// thread.

#pragma once

#include <optional>
#include <string_view>

#include "proxy/http/headers.h"

namespace outrigger::grpc {

enum Code : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};
inline constexpr int kCodeCount = 17;

// Digits only. What is none, or too long for a status, is UNKNOWN, as gRPC's clients have it.
int ParseStatus(std::string_view text);
// The `grpc-status` of trailers, or of a head that is all there is; nothing when there is none.
std::optional<int> StatusIn(const http::HeaderList& fields);

// "DEADLINE_EXCEEDED"; empty for what is not defined.
std::string_view CodeName(int code);

// The HTTP status that says the same (google.rpc.Code); 500 for what is not defined.
int HttpStatusOf(int code);

}  // namespace outrigger::grpc
