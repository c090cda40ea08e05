#include "tests/proxy/http1/invariants.h"

#include <fmt/format.h>

#include <cstddef>
#include <vector>

#include "proxy/base/random.h"
#include "proxy/http1/serializer.h"
#include "tests/proxy/http1/support.h"

namespace outrigger::http1 {
namespace {

using http::HeaderField;
using http::HeaderId;
using http::HeaderList;

Split Pieces(Random& random) {
  return [&random](size_t) { return 1 + random.Below(1 + random.Below(40)); };
}

// The fields that go on, as text: those that end here or are made anew are left out.
std::string PrintForwarded(const HeaderList& headers, bool has_trailers) {
  std::string host;
  std::string others;
  for (const HeaderField& field : headers) {
    if (IsHopByHop(field.id) || field.id == HeaderId::kContentLength) continue;
    if (field.id == HeaderId::kTrailer && !has_trailers) continue;
    if (IsNominated(headers, field)) continue;
    (field.id == HeaderId::kHost ? host : others) +=
        fmt::format("{}: {}\n", field.name, field.value);
  }
  return host + others;
}

std::string CheckConnectionFields(const HeaderList& written, bool keeps_te) {
  for (const HeaderField& field : written) {
    const bool is_ours = field.id == HeaderId::kTransferEncoding ||
                         (keeps_te && (field.id == HeaderId::kTe ||
                                       (field.id == HeaderId::kConnection && field.value == "TE")));
    if (IsHopByHop(field.id) && !is_ours) return fmt::format("{} goes on", field.name);
  }
  return {};
}

std::string CheckWrittenRequest(std::string_view bytes) {
  HeadProgress progress;
  RequestHead head;
  HeaderList headers;
  if (ParseRequestHead(bytes, progress, {}, head, headers).status != HeadStatus::kDone) return {};
  RequestFraming framing;
  if (!GetRequestFraming(head, headers, framing).ok()) return {};
  const RequestLine line{head.method_text, head.path, head.query};
  HeadOptions options;
  options.host = head.authority.empty() ? "stand-in" : head.authority;
  std::vector<char> buffer(MaxHeadBytes(line, headers, options));
  ByteSink sink{buffer.data(), buffer.data() + buffer.size()};
  if (WriteRequestHead(sink, line, headers, framing.body, options) != WriteResult::kOk) {
    return "accepted request cannot be written";
  }
  const std::string_view written(buffer.data(), static_cast<size_t>(sink.at - buffer.data()));
  HeadProgress again_progress;
  RequestHead again;
  HeaderList again_headers;
  const HeadResult result =
      ParseRequestHead(written, again_progress, kNormalFormLimits, again, again_headers);
  if (result.status != HeadStatus::kDone) return "written request is refused";
  if (result.consumed != written.size()) return "written request has more than a head";
  if (again.method_text != head.method_text || again.path != head.path ||
      again.query != head.query || again.authority != options.host) {
    return "written request has another request line";
  }
  RequestFraming again_framing;
  if (!GetRequestFraming(again, again_headers, again_framing).ok()) {
    return "framing of the written request is refused";
  }
  if (again_framing.body != framing.body) return "written request has another framing";
  // Host is written as the target has it.
  headers.Remove(HeaderId::kHost);
  HeaderList expected;
  expected.Add("Host", options.host);
  for (const HeaderField& field : headers) expected.Add(field);
  const bool is_chunked = framing.body.kind == BodyKind::kChunked;
  if (PrintForwarded(again_headers, is_chunked) != PrintForwarded(expected, is_chunked)) {
    return "written request has other fields";
  }
  return CheckConnectionFields(again_headers, true);
}

std::string CheckWrittenResponse(std::string_view bytes) {
  HeadProgress progress;
  ResponseHead head;
  HeaderList headers;
  if (ParseResponseHead(bytes, progress, {}, head, headers).status != HeadStatus::kDone) return {};
  ResponseFraming framing;
  if (!GetResponseFraming(http::Method::kGet, head, headers, framing).ok()) return {};
  HeadOptions options;
  options.declared_length = framing.declared_length;
  if (framing.body.kind == BodyKind::kUntilClose) options.connection = ConnectionOption::kClose;
  std::vector<char> buffer(MaxHeadBytes(head.reason_phrase, headers, options));
  ByteSink sink{buffer.data(), buffer.data() + buffer.size()};
  if (WriteResponseHead(sink, head.status, head.reason_phrase, headers, framing.body, options) !=
      WriteResult::kOk) {
    return "accepted response cannot be written";
  }
  const std::string_view written(buffer.data(), static_cast<size_t>(sink.at - buffer.data()));
  HeadProgress again_progress;
  ResponseHead again;
  HeaderList again_headers;
  const HeadResult result =
      ParseResponseHead(written, again_progress, kNormalFormLimits, again, again_headers);
  if (result.status != HeadStatus::kDone) return "written response is refused";
  if (result.consumed != written.size()) return "written response has more than a head";
  if (again.status != head.status) return "written response has another status";
  ResponseFraming again_framing;
  if (!GetResponseFraming(http::Method::kGet, again, again_headers, again_framing).ok()) {
    return "framing of the written response is refused";
  }
  if (again_framing.body != framing.body) return "written response has another framing";
  if (again_framing.declared_length != framing.declared_length) return "another declared length";
  const bool is_chunked = framing.body.kind == BodyKind::kChunked;
  if (PrintForwarded(again_headers, is_chunked) != PrintForwarded(headers, is_chunked)) {
    return "written response has other fields";
  }
  again_headers.RemoveIf([](const HeaderField& field) {
    return field.id == HeaderId::kConnection && field.value == "close";
  });
  return CheckConnectionFields(again_headers, false);
}

}  // namespace

std::string CheckHeadInvariants(std::string_view bytes, uint64_t seed) {
  Random random(seed);
  const ParsedHead request = ParseRequest(bytes);
  if (request.result.consumed > bytes.size()) return "request consumes more than there is";
  if (ParseRequest(bytes, Pieces(random)).text != request.text) return "request depends on splits";
  const ParsedHead response = ParseResponse(bytes);
  if (response.result.consumed > bytes.size()) return "response consumes more than there is";
  if (ParseResponse(bytes, Pieces(random)).text != response.text)
    return "response depends on splits";
  if (std::string problem = CheckWrittenRequest(bytes); !problem.empty()) return problem;
  return CheckWrittenResponse(bytes);
}

std::string CheckChunkedInvariants(std::string_view bytes, uint64_t seed) {
  Random random(seed);
  const Decoded whole = Decode(bytes);
  if (whole.consumed > bytes.size()) return "consumes more than there is";
  if (Decode(bytes, Pieces(random)).text() != whole.text()) return "depends on splits";
  if (whole.status != ChunkedDecoder::Status::kDone) return {};

  ChunkedDecoder decoder;
  ChunkedDecoder::Step step;
  for (std::string_view input = bytes; step.status != ChunkedDecoder::Status::kDone;) {
    step = decoder.Next(input);
    input.remove_prefix(step.consumed);
  }
  // Trailers grow by one space each at most.
  std::vector<char> buffer(kMaxChunkHeaderBytes + whole.data.size() + kChunkEnd.size() +
                           2 * bytes.size() + 16);
  ByteSink sink{buffer.data(), buffer.data() + buffer.size()};
  std::string encoded;
  if (!whole.data.empty()) {
    if (WriteChunkHeader(sink, whole.data.size()) != WriteResult::kOk) return "chunk not written";
    encoded.assign(buffer.data(), sink.at);
    encoded += whole.data;
    encoded += kChunkEnd;
  }
  sink.at = buffer.data();
  if (WriteLastChunk(sink, decoder.trailers()) != WriteResult::kOk) return "trailers not written";
  encoded.append(buffer.data(), sink.at);
  const Decoded again = Decode(encoded);
  if (again.error == "trailers are too large") return {};
  if (again.status != ChunkedDecoder::Status::kDone) return "encoded body is refused";
  if (again.data != whole.data || again.trailers != whole.trailers) return "encoded body differs";
  return {};
}

}  // namespace outrigger::http1
