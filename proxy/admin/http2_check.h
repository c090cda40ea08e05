// A check in HTTP/2: GET of a path, a question that wants the whole answer, or a call of
// grpc.health.v1.Health/Check.
//
// gRPC: the service is up when the call ends with status 0 and says SERVING. The message has two
// fields at most, so it is read and written here instead of by the gRPC libraries, which cost more
// memory than the whole proxy (grpc_module/abi.h).
//
// One thread.

#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/admin/check_protocol.h"

namespace outrigger::admin {

// HealthCheckRequest as a gRPC message: flag, length, field 1.
std::string GrpcHealthRequest(std::string_view service);
// HealthCheckResponse as a gRPC message: its status (1 is SERVING), or nothing when it is none.
std::optional<uint64_t> GrpcHealthStatus(std::string_view message);

class Http2Check final : public CheckProtocol {
 public:
  Http2Check(const CheckQuestion& question, bool is_secure);
  ~Http2Check() override;
  Http2Check(const Http2Check&) = delete;
  Http2Check& operator=(const Http2Check&) = delete;

  std::string TakeOutput() override;
  std::optional<CheckResult> Receive(std::string_view bytes) override;

 private:
  struct Callbacks;

  void Submit(const CheckQuestion& question, bool is_secure);
  void Pump();
  // Of an answer that is complete.
  CheckResult JudgeCall() const;

  const bool is_grpc_;
  const bool wants_whole_answer_;
  nghttp2_session* session_ = nullptr;
  std::string message_;  // of the request; what is left to send
  std::string answer_;   // the answer's message, as far as it is of interest
  std::string grpc_status_;
  int status_ = 0;
  bool has_settings_ = false;
  std::string output_;
  std::optional<CheckResult> result_;
};

}  // namespace outrigger::admin
