#include "tools/mock-ai/wire.h"

#include <algorithm>
#include <iterator>

#include "fmt/format.h"

namespace outrigger::mock_ai {
namespace {

// A multiple of the alphabet's length, so that any offset is a position in the first 26 bytes.
constexpr size_t kPatternBytes = 26 * 1024;

const std::string& Pattern() {
  static const std::string* const pattern = [] {
    auto* text = new std::string;
    for (size_t i = 0; i < kPatternBytes; ++i) text->push_back(static_cast<char>('a' + i % 26));
    return text;
  }();
  return *pattern;
}

void AppendField(std::string_view name, std::string_view value, std::string& out) {
  out.append(name).append(": ").append(value).append("\r\n");
}

}  // namespace

std::string_view ReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 102:
      return "Processing";
    case 103:
      return "Early Hints";
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 409:
      return "Conflict";
    case 413:
      return "Content Too Large";
    case 422:
      return "Unprocessable Content";
    case 429:
      return "Too Many Requests";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 501:
      return "Not Implemented";
    case 502:
      return "Bad Gateway";
    case 503:
      return "Service Unavailable";
    case 504:
      return "Gateway Timeout";
    case 505:
      return "HTTP Version Not Supported";
    case 529:
      return "Site Is Overloaded";
    default:
      return "Status";
  }
}

bool MayHaveBody(int status) { return status >= 200 && status != 204 && status != 304; }

void AppendHead(const Answer& answer, const HeadOptions& options, std::string& out) {
  fmt::format_to(std::back_inserter(out), "HTTP/1.{} {} {}\r\n", answer.version_minor,
                 answer.status, ReasonPhrase(answer.status));
  if (!options.date.empty()) AppendField("date", options.date, out);
  AppendField("server", "mock-ai", out);
  for (const Header& header : answer.headers) AppendField(header.name, header.value, out);
  if (answer.framing == Framing::kChunked) {
    for (const Header& trailer : answer.trailers) AppendField("trailer", trailer.name, out);
    AppendField("transfer-encoding", "chunked", out);
  } else if (answer.framing == Framing::kLength && MayHaveBody(answer.status)) {
    fmt::format_to(std::back_inserter(out), "content-length: {}\r\n",
                   answer.declared_length.value_or(answer.body_bytes()));
  }
  if (options.close) {
    AppendField("connection", "close", out);
  } else if (options.confirm_keep_alive) {
    AppendField("connection", "keep-alive", out);
  }
  if (!options.keep_alive.empty()) AppendField("keep-alive", options.keep_alive, out);
  out.append("\r\n");
}

void AppendInformational(int status, std::string& out) {
  fmt::format_to(std::back_inserter(out), "HTTP/1.1 {} {}\r\n", status, ReasonPhrase(status));
  if (status == 103) AppendField("link", "</style.css>; rel=preload; as=style", out);
  out.append("\r\n");
}

void AppendChunk(std::string_view data, std::string& out) {
  if (data.empty()) return;  // an empty chunk would be the last one
  fmt::format_to(std::back_inserter(out), "{:x}\r\n", data.size());
  out.append(data).append("\r\n");
}

void AppendChunkedEnd(const Answer& answer, std::string& out) {
  out.append("0\r\n");
  for (const Header& trailer : answer.trailers) AppendField(trailer.name, trailer.value, out);
  out.append("\r\n");
}

void AppendFill(uint64_t offset, uint64_t size, std::string& out) {
  const std::string& pattern = Pattern();
  while (size > 0) {
    const size_t start = static_cast<size_t>(offset % 26);
    const size_t now = static_cast<size_t>(std::min<uint64_t>(size, kPatternBytes - start));
    out.append(pattern, start, now);
    offset += now;
    size -= now;
  }
}

}  // namespace outrigger::mock_ai
