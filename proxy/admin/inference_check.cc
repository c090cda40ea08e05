#include "proxy/admin/inference_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace outrigger::admin {
namespace {

CheckResult Success() { return {CheckOutcome::kSuccess, ""}; }

std::string RequestText(const CheckQuestion& question) {
  std::string text = fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\n", question.method, question.path,
                                 question.authority);
  for (const auto& [name, value] : RequestFields(question)) {
    text += fmt::format("{}: {}\r\n", name, value);
  }
  return text + "connection: close\r\n\r\n" + question.body;
}

}  // namespace

InferenceCheck::InferenceCheck(const CheckQuestion& question)
    : is_get_(question.method == "GET"), output_(RequestText(question)) {}

std::string InferenceCheck::TakeOutput() { return std::exchange(output_, {}); }

std::optional<CheckResult> InferenceCheck::Receive(std::string_view bytes) {
  if (result_.has_value()) return result_;
  if (has_head_) {
    result_ = TakeBody(bytes);
  } else {
    head_ += bytes;
    result_ = TakeHead();
  }
  return result_;
}

std::optional<CheckResult> InferenceCheck::TakeHead() {
  http1::ResponseHead head;
  http::HeaderList fields;  // views into head_
  http1::HeadResult parsed;
  for (;;) {
    fields.Clear();
    parsed = http1::ParseResponseHead(head_, progress_, {}, head, fields);
    if (parsed.status == http1::HeadStatus::kIncomplete) return std::nullopt;
    if (parsed.status == http1::HeadStatus::kError) {
      return CheckResult{CheckOutcome::kError, "answer is not HTTP"};
    }
    // Interim answers come before the one that counts; a switch of protocols is none.
    if (head.status >= 200 || head.status == 101) break;
    head_.erase(0, parsed.consumed);
    progress_ = {};
  }
  if (head.status < 200 || head.status > 299) return JudgeStatus(head.status, 299);
  http1::ResponseFraming framing;
  const http::Method method = is_get_ ? http::Method::kGet : http::Method::kPost;
  if (!http1::GetResponseFraming(method, head, fields, framing).ok()) {
    return CheckResult{CheckOutcome::kError, "answer is not HTTP"};
  }
  has_head_ = true;
  framing_ = framing.body;
  left_ = framing_.length;
  const std::string text = std::exchange(head_, {});
  return TakeBody(std::string_view(text).substr(parsed.consumed));
}

std::optional<CheckResult> InferenceCheck::TakeBody(std::string_view bytes) {
  switch (framing_.kind) {
    case http1::BodyKind::kNone:
      return Success();
    case http1::BodyKind::kLength:
      left_ -= std::min<uint64_t>(left_, bytes.size());
      if (left_ == 0) return Success();
      return std::nullopt;
    case http1::BodyKind::kUntilClose:
      return std::nullopt;
    case http1::BodyKind::kChunked:
      break;
  }
  for (;;) {
    const http1::ChunkedDecoder::Step step = decoder_.Next(bytes);
    bytes.remove_prefix(step.consumed);
    switch (step.status) {
      case http1::ChunkedDecoder::Status::kData:
        break;
      case http1::ChunkedDecoder::Status::kNeedMore:
        return std::nullopt;
      case http1::ChunkedDecoder::Status::kDone:
        return Success();
      case http1::ChunkedDecoder::Status::kError:
        return CheckResult{CheckOutcome::kError, "answer is not HTTP"};
    }
  }
}

CheckResult InferenceCheck::End() {
  if (!has_head_) return CheckProtocol::End();
  if (framing_.kind == http1::BodyKind::kUntilClose) return Success();
  return {CheckOutcome::kError, "closed within the answer"};
}

}  // namespace outrigger::admin
