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
#include <utility>
#include <vector>

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
  // The verdict when the service has closed before there was one.
  virtual CheckResult End() { return {CheckOutcome::kError, "closed without an answer"}; }
};

// Of an HTTP answer: success from 200 to `highest`.
CheckResult JudgeStatus(int status, int highest = 399);

// What a question that wants the whole answer has beside method, path and authority; names in lower
// case, Content-Length among them.
std::vector<std::pair<std::string, std::string>> RequestFields(const CheckQuestion& question);

std::unique_ptr<CheckProtocol> NewCheckProtocol(const CheckQuestion& question, bool is_secure);

}  // namespace outrigger::admin
