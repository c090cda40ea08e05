#include "tests/proxy/http1/support.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace outrigger::http1 {
namespace {

std::string PrintHead(const RequestHead& head) {
  return fmt::format("{} {} {} {} path {} query {} authority {} https {} 1.{}\n",
                     static_cast<int>(head.method), head.method_text, head.target,
                     static_cast<int>(head.form), head.path, head.query, head.authority,
                     head.is_https_target, head.minor_version);
}

std::string PrintHead(const ResponseHead& head) {
  return fmt::format("{} {} 1.{}\n", head.status, head.reason_phrase, head.minor_version);
}

template <class Head, class Parse>
ParsedHead ParsePieces(std::string_view bytes, const Split& split, const HeadLimits& limits,
                       Parse parse) {
  ParsedHead out;
  HeadProgress progress;
  Head head;
  http::HeaderList headers;
  size_t delivered = 0;
  do {
    delivered += std::min(split(delivered), bytes.size() - delivered);
    const auto buffer = std::make_unique<char[]>(delivered);
    std::copy_n(bytes.data(), delivered, buffer.get());
    out.result = parse({buffer.get(), delivered}, progress, limits, head, headers);
    out.text =
        fmt::format("status {} consumed {} {} {}\n", static_cast<int>(out.result.status),
                    out.result.consumed, http::ReasonName(out.result.reason), out.result.message);
    if (out.result.status == HeadStatus::kDone) out.text += PrintHead(head) + Print(headers);
  } while (out.result.status == HeadStatus::kIncomplete && delivered < bytes.size());
  return out;
}

}  // namespace

std::string Print(const http::HeaderList& headers) {
  std::string out;
  for (const http::HeaderField& field : headers) {
    out += fmt::format("{}: {}\n", field.name, field.value);
  }
  return out;
}

ParsedHead ParseRequest(std::string_view bytes, const Split& split, const HeadLimits& limits) {
  return ParsePieces<RequestHead>(bytes, split, limits, ParseRequestHead);
}

ParsedHead ParseResponse(std::string_view bytes, const Split& split, const HeadLimits& limits) {
  return ParsePieces<ResponseHead>(bytes, split, limits, ParseResponseHead);
}

std::string Decoded::text() const {
  return fmt::format("status {} consumed {} {}\n{}\n{}", static_cast<int>(status), consumed, error,
                     data, trailers);
}

Decoded Decode(std::string_view bytes, const Split& split) {
  using Status = ChunkedDecoder::Status;
  Decoded out;
  ChunkedDecoder decoder;
  size_t delivered = 0;
  do {
    const size_t length = std::min(split(delivered), bytes.size() - delivered);
    const auto buffer = std::make_unique<char[]>(length);
    std::copy_n(bytes.data() + delivered, length, buffer.get());
    delivered += length;
    std::string_view input(buffer.get(), length);
    do {
      const ChunkedDecoder::Step step = decoder.Next(input);
      out.status = step.status;
      out.consumed += step.consumed;
      out.data += step.data;
      input.remove_prefix(step.consumed);
    } while (out.status == Status::kData);
  } while (out.status == Status::kNeedMore && delivered < bytes.size());
  out.error = decoder.error();
  out.trailers = Print(decoder.trailers());
  if (out.status == Status::kError) out.trailers.clear();
  return out;
}

std::string JudgeRequest(std::string_view bytes) {
  HeadProgress progress;
  RequestHead head;
  http::HeaderList headers;
  const HeadResult result = ParseRequestHead(bytes, progress, {}, head, headers);
  if (result.status == HeadStatus::kIncomplete) return "incomplete";
  if (result.status == HeadStatus::kError) {
    return fmt::format("{}: {}", http::ReasonName(result.reason), result.message);
  }
  RequestFraming framing;
  const FramingError error = GetRequestFraming(head, headers, framing);
  if (!error.ok()) return fmt::format("{}: {}", http::ReasonName(error.reason), error.message);
  if (framing.body.kind == BodyKind::kChunked) {
    const Decoded body = Decode(bytes.substr(result.consumed));
    if (body.status == ChunkedDecoder::Status::kError) {
      return fmt::format("bad_request: {}", body.error);
    }
    if (body.status != ChunkedDecoder::Status::kDone) return "incomplete";
  }
  if (framing.body.kind == BodyKind::kLength &&
      framing.body.length > bytes.size() - result.consumed) {
    return "incomplete";
  }
  return "ok";
}

}  // namespace outrigger::http1
