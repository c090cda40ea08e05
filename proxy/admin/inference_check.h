// A check in HTTP/1.1 that asks for something and wants the whole answer: the inference probe
// (HL-5). Success is a status from 200 to 299 whose body came to its end; any other status is known
// to be none with its head.
//
// One thread.

#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "proxy/admin/check_protocol.h"
#include "proxy/http1/chunked_decoder.h"
#include "proxy/http1/framing.h"
#include "proxy/http1/head_parser.h"

namespace outrigger::admin {

class InferenceCheck final : public CheckProtocol {
 public:
  // REQUIRES: question.wants_whole_answer.
  explicit InferenceCheck(const CheckQuestion& question);

  std::string TakeOutput() override;
  std::optional<CheckResult> Receive(std::string_view bytes) override;
  CheckResult End() override;

 private:
  // Both: the verdict, or nothing when more must come.
  std::optional<CheckResult> TakeHead();
  std::optional<CheckResult> TakeBody(std::string_view bytes);

  const bool is_get_;
  std::string output_;
  std::string head_;  // what has come, until the head is complete
  http1::HeadProgress progress_;
  bool has_head_ = false;
  http1::BodyFraming framing_;
  uint64_t left_ = 0;  // of a body of stated length
  http1::ChunkedDecoder decoder_;
  std::optional<CheckResult> result_;
};

}  // namespace outrigger::admin
