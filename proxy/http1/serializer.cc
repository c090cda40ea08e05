#include "proxy/http1/serializer.h"

#include <charconv>
#include <cstring>

#include "proxy/http1/chars.h"

namespace outrigger::http1 {
namespace {

using http::HeaderField;
using http::HeaderId;
using http::HeaderList;

constexpr size_t kMaxNumberBytes = 20;
// Content-Length or Transfer-Encoding, Connection with all its options, the names of Upgrade and
// Host, TE, and the empty line.
constexpr size_t kOwnFieldsBytes = 256;

// Appends to a sink and remembers the first thing that went wrong; commits only a whole head.
class Writer {
 public:
  explicit Writer(ByteSink& sink) : sink_(sink), at_(sink.at) {}

  void Text(std::string_view text) {
    if (text.size() > static_cast<size_t>(sink_.end - at_)) {
      if (result_ == WriteResult::kOk) result_ = WriteResult::kFull;
      return;
    }
    if (!text.empty()) std::memcpy(at_, text.data(), text.size());
    at_ += text.size();
  }

  void Number(uint64_t number, int base = 10) {
    char digits[kMaxNumberBytes];
    const auto end = std::to_chars(digits, digits + sizeof(digits), number, base).ptr;
    Text({digits, static_cast<size_t>(end - digits)});
  }

  void Field(std::string_view name, std::string_view value) {
    if (!IsToken(name) || !IsFieldValue(value)) result_ = WriteResult::kUnsafe;
    Text(name);
    Text(": ");
    Text(value);
    Text("\r\n");
  }

  void Unsafe() { result_ = WriteResult::kUnsafe; }

  WriteResult Finish() {
    if (result_ == WriteResult::kOk) sink_.at = at_;
    return result_;
  }

 private:
  ByteSink& sink_;
  char* at_;
  WriteResult result_ = WriteResult::kOk;
};

void WriteConnection(Writer& out, const HeadOptions& options, bool has_te) {
  const bool has_upgrade = !options.upgrade.empty();
  if (options.connection == ConnectionOption::kDefault && !has_upgrade && !has_te) return;
  std::string_view separator;
  const auto option = [&](std::string_view name) {
    out.Text(separator);
    out.Text(name);
    separator = ", ";
  };
  out.Text("Connection: ");
  if (options.connection == ConnectionOption::kClose) option("close");
  if (options.connection == ConnectionOption::kKeepAlive) option("keep-alive");
  if (has_upgrade) option("Upgrade");
  if (has_te) option("TE");
  out.Text("\r\n");
  if (has_upgrade) out.Field("Upgrade", options.upgrade);
  if (has_te) out.Text("TE: trailers\r\n");
}

void WriteFraming(Writer& out, const BodyFraming& body,
                  const std::optional<uint64_t>& declared_length) {
  switch (body.kind) {
    case BodyKind::kLength:
      out.Text("Content-Length: ");
      out.Number(body.length);
      out.Text("\r\n");
      return;
    case BodyKind::kChunked:
      out.Text("Transfer-Encoding: chunked\r\n");
      return;
    case BodyKind::kNone:
      if (!declared_length.has_value()) return;
      out.Text("Content-Length: ");
      out.Number(*declared_length);
      out.Text("\r\n");
      return;
    case BodyKind::kUntilClose:
      return;
  }
}

bool HasConnectionField(const HeaderList& headers) { return headers.Has(HeaderId::kConnection); }

// Whether `field` goes on to the next hop as it is. Trailer announces what only chunks can carry.
bool IsForwarded(const HeaderList& headers, const HeaderField& field, bool has_connection,
                 const BodyFraming& body) {
  if (field.id == HeaderId::kOther) return !has_connection || !IsNominated(headers, field);
  if (field.id == HeaderId::kContentLength) return false;
  if (field.id == HeaderId::kTrailer) return body.kind == BodyKind::kChunked;
  return !IsHopByHop(field.id);
}

bool AcceptsTrailers(const HeaderList& headers) {
  for (const HeaderField& field : headers) {
    if (field.id == HeaderId::kTe && http::ListContainsToken(field.value, "trailers")) return true;
  }
  return false;
}

bool IsOriginForm(const RequestLine& line) {
  if (!line.path.starts_with('/') && line.path != "*") return false;
  return AllAre(line.path, kTargetChar) && AllAre(line.query, kTargetChar);
}

std::string_view UsualReasonPhrase(int status) {
  switch (status) {
    case 100:
      return "Continue";
    case 101:
      return "Switching Protocols";
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
    case 206:
      return "Partial Content";
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
    case 414:
      return "URI Too Long";
    case 415:
      return "Unsupported Media Type";
    case 417:
      return "Expectation Failed";
    case 422:
      return "Unprocessable Content";
    case 425:
      return "Too Early";
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
    case 508:
      return "Loop Detected";
    default:
      return {};
  }
}

size_t FieldBytes(const HeaderList& headers) {
  size_t bytes = 0;
  for (const HeaderField& field : headers) bytes += field.name.size() + field.value.size() + 4;
  return bytes;
}

}  // namespace

WriteResult WriteRequestHead(ByteSink& sink, const RequestLine& line, const HeaderList& headers,
                             const BodyFraming& body, const HeadOptions& options) {
  Writer out(sink);
  const std::optional<std::string_view> host =
      options.host.empty() ? headers.Get(HeaderId::kHost) : options.host;
  // A request cannot end with the connection: the service would wait for the rest of it.
  if (!IsToken(line.method) || !IsOriginForm(line) || !host.has_value() ||
      body.kind == BodyKind::kUntilClose) {
    out.Unsafe();
  }
  out.Text(line.method);
  out.Text(" ");
  out.Text(line.path);
  out.Text(line.query);
  out.Text(" HTTP/1.1\r\n");
  if (host.has_value()) out.Field("Host", *host);  // first, as RFC 9110, 7.2 advises
  const bool has_connection = HasConnectionField(headers);
  for (const HeaderField& field : headers) {
    if (field.id == HeaderId::kHost) continue;
    if (IsForwarded(headers, field, has_connection, body)) out.Field(field.name, field.value);
  }
  WriteConnection(out, options, AcceptsTrailers(headers));
  WriteFraming(out, body, std::nullopt);
  out.Text("\r\n");
  return out.Finish();
}

WriteResult WriteResponseHead(ByteSink& sink, int status, std::string_view reason_phrase,
                              const HeaderList& headers, const BodyFraming& body,
                              const HeadOptions& options) {
  Writer out(sink);
  if (status < 100 || status > 599 || !IsFieldValue(reason_phrase)) out.Unsafe();
  out.Text("HTTP/1.1 ");
  out.Number(static_cast<uint64_t>(status));
  out.Text(" ");
  out.Text(reason_phrase.empty() ? UsualReasonPhrase(status) : reason_phrase);
  out.Text("\r\n");
  const bool has_connection = HasConnectionField(headers);
  for (const HeaderField& field : headers) {
    if (IsForwarded(headers, field, has_connection, body)) out.Field(field.name, field.value);
  }
  WriteConnection(out, options, false);
  if (status >= 200 && status != 204) {
    // A 304 has no body, whatever the framing says of the response that it stands for.
    WriteFraming(out, status == 304 ? BodyFraming{} : body, options.declared_length);
  }
  out.Text("\r\n");
  return out.Finish();
}

size_t MaxHeadBytes(const RequestLine& line, const HeaderList& headers,
                    const HeadOptions& options) {
  return line.method.size() + line.path.size() + line.query.size() + options.upgrade.size() +
         options.host.size() + FieldBytes(headers) + kOwnFieldsBytes;
}

size_t MaxHeadBytes(std::string_view reason_phrase, const HeaderList& headers,
                    const HeadOptions& options) {
  return reason_phrase.size() + options.upgrade.size() + FieldBytes(headers) + kOwnFieldsBytes;
}

WriteResult WriteChunkHeader(ByteSink& sink, uint64_t size) {
  Writer out(sink);
  if (size == 0) out.Unsafe();
  out.Number(size, 16);
  out.Text("\r\n");
  return out.Finish();
}

WriteResult WriteLastChunk(ByteSink& sink, const HeaderList& trailers) {
  Writer out(sink);
  out.Text("0\r\n");
  for (const HeaderField& field : trailers) out.Field(field.name, field.value);
  out.Text("\r\n");
  return out.Finish();
}

}  // namespace outrigger::http1
