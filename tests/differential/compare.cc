#include "tests/differential/compare.h"

#include <fmt/format.h>

#include <algorithm>

#include "proxy/http1/chunked_decoder.h"
#include "proxy/http1/framing.h"
#include "proxy/http1/head_parser.h"

namespace outrigger::http1 {
namespace {

void Refuse(Reading& reading, std::string_view why) {
  reading.verdict = Verdict::kRefused;
  reading.error = why;
}

void AddFields(Reading& reading, const http::HeaderList& fields) {
  for (const http::HeaderField& field : fields) {
    reading.fields.emplace_back(std::string(field.name), std::string(field.value));
  }
}

void ReadBody(Reading& reading, const BodyFraming& framing, std::string_view rest) {
  switch (framing.kind) {
    case BodyKind::kUntilClose:
      reading.verdict = Verdict::kUntilClose;
      reading.body = rest;
      return;
    case BodyKind::kNone:
    case BodyKind::kLength:
      reading.body = rest.substr(0, framing.length);
      if (rest.size() < framing.length) return;
      reading.verdict = Verdict::kComplete;
      reading.consumed = reading.head_bytes + framing.length;
      return;
    case BodyKind::kChunked:
      break;
  }
  ChunkedDecoder decoder;
  reading.consumed = reading.head_bytes;
  for (;;) {
    const ChunkedDecoder::Step step = decoder.Next(rest);
    rest.remove_prefix(step.consumed);
    reading.consumed += step.consumed;
    reading.body += step.data;
    switch (step.status) {
      case ChunkedDecoder::Status::kData:
        continue;
      case ChunkedDecoder::Status::kNeedMore:
        return;
      case ChunkedDecoder::Status::kError:
        return Refuse(reading, decoder.error());
      case ChunkedDecoder::Status::kDone:
        AddFields(reading, decoder.trailers());
        reading.verdict = Verdict::kComplete;
        return;
    }
  }
}

std::string Differ(std::string_view what, std::string_view ours, std::string_view theirs) {
  return fmt::format("{}: ours {:?}, llhttp's {:?}", what, ours, theirs);
}

std::string CompareContents(const Reading& ours, const Reading& theirs) {
  if (ours.start != theirs.start) return Differ("start", ours.start, theirs.start);
  if (ours.body != theirs.body) return Differ("body", ours.body, theirs.body);
  if (ours.fields.size() != theirs.fields.size()) {
    return fmt::format("{} fields, llhttp has {}", ours.fields.size(), theirs.fields.size());
  }
  for (size_t i = 0; i < ours.fields.size(); ++i) {
    if (ours.fields[i].first != theirs.fields[i].first) {
      return Differ("name", ours.fields[i].first, theirs.fields[i].first);
    }
    // It leaves the white space behind a value to its caller.
    const std::string_view value = http::TrimOws(theirs.fields[i].second);
    if (ours.fields[i].second != value) return Differ("value", ours.fields[i].second, value);
  }
  return {};
}

std::string CompareExactly(Side side, std::string_view bytes) {
  const Reading ours = ReadWithOurs(side, bytes);
  if (!ours.has_head) return {};
  const Reading head = ReadWithLlhttp(side, bytes.substr(0, ours.head_bytes));
  // Exception 2: llhttp knows a list of methods. Any token is one (RFC 9110, 9.1).
  if (head.error == "HPE_INVALID_METHOD") return {};
  if (head.verdict == Verdict::kRefused) {
    return fmt::format("a head is accepted that llhttp refuses with {}", head.error);
  }
  if (!head.has_head) return "a head is complete that is not for llhttp";
  if (ours.verdict == Verdict::kRefused || ours.verdict == Verdict::kIncomplete) return {};
  // Exception 3: llhttp reads a body behind these where a field announces one. There is none
  // whatever the fields say (RFC 9112, 6.3); our connection to such a service closes.
  if (side == Side::kResponse && (ours.start == "204" || ours.start == "304")) return {};
  const size_t size = ours.verdict == Verdict::kComplete ? ours.consumed : bytes.size();
  const Reading theirs = ReadWithLlhttp(side, bytes.substr(0, size));
  if (theirs.verdict == Verdict::kRefused) {
    return fmt::format("a message is accepted that llhttp refuses with {}", theirs.error);
  }
  if (theirs.verdict != ours.verdict) return "llhttp sees another end of the message";
  if (theirs.verdict == Verdict::kComplete && theirs.consumed != ours.consumed) {
    return fmt::format("ends at {}, for llhttp at {}", ours.consumed, theirs.consumed);
  }
  return CompareContents(ours, theirs);
}

}  // namespace

Reading ReadWithOurs(Side side, std::string_view bytes) {
  Reading reading;
  HeadProgress progress;
  http::HeaderList headers;
  RequestHead request;
  ResponseHead response;
  const HeadResult result = side == Side::kRequest
                                ? ParseRequestHead(bytes, progress, {}, request, headers)
                                : ParseResponseHead(bytes, progress, {}, response, headers);
  if (result.status == HeadStatus::kIncomplete) return reading;
  if (result.status == HeadStatus::kError) {
    Refuse(reading, result.message);
    return reading;
  }
  BodyFraming framing;
  if (side == Side::kRequest) {
    RequestFraming of_request;
    const FramingError error = GetRequestFraming(request, headers, of_request);
    if (!error.ok()) Refuse(reading, error.message);
    framing = of_request.body;
    reading.start = fmt::format("{} {}", request.method_text, request.target);
  } else {
    ResponseFraming of_response;
    const FramingError error =
        GetResponseFraming(http::Method::kGet, response, headers, of_response);
    if (!error.ok()) Refuse(reading, error.message);
    framing = of_response.body;
    reading.start = fmt::format("{}", response.status);
  }
  if (reading.verdict == Verdict::kRefused) return reading;
  reading.has_head = true;
  reading.head_bytes = result.consumed;
  AddFields(reading, headers);
  ReadBody(reading, framing, bytes.substr(result.consumed));
  return reading;
}

std::string Compare(Side side, std::string_view bytes) {
  std::string problem = CompareExactly(side, bytes);
  if (problem.empty()) return {};
  // Exception 1: behind a length or a coding llhttp takes spaces, but no tabs. Both are white space
  // there (RFC 9110, 5.6.3), and neither is passed on.
  std::string spaces(bytes);
  std::replace(spaces.begin(), spaces.end(), '\t', ' ');
  if (spaces != bytes && CompareExactly(side, spaces).empty()) return {};
  return problem;
}

}  // namespace outrigger::http1
