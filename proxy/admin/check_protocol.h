// What a check says and hears in HTTP/1.1, HTTP/2 or gRPC, without IO.
//
//   std::unique_ptr<CheckProtocol> protocol = NewCheckProtocol(question);
//   send(protocol->TakeOutput());
//   if (std::optional<CheckResult> result = protocol->Receive(bytes)) ...   // and output again
//
// One thread.

#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/admin/app_health.h"
#include "proxy/admin/check_exchange.h"

namespace outrigger::admin {

class CheckProtocol {
 public:
  virtual ~CheckProtocol() = default;
  // What is to be sent now.
  virtual std::string TakeOutput() = 0;
  // The verdict; nothing: more must come. What follows is to be passed on as well, so that the
  // exchange ends in good order.
  virtual std::optional<CheckResult> Receive(std::string_view bytes) = 0;
};

// Of an HTTP answer.
CheckResult JudgeStatus(int status);

std::unique_ptr<CheckProtocol> NewCheckProtocol(const CheckQuestion& question, bool is_secure);

}  // namespace outrigger::admin
