#include "proxy/http1/serializer.h"

#include <charconv>
#include <cstring>

#include "proxy/http1/chars.h"
#include "proxy/http1/field_line.h"

namespace outrigger::http1 {
namespace {

using http::HeaderField;
using http::HeaderId;
using http::HeaderList;

constexpr size_t kMaxNumberBytes = 20;
// Content-Length or Transfer-Encoding, Connection with all its options, the names of Upgrade and
// Host, TE, and the empty line.
constexpr size_t kOwnFieldsBytes = 256;

// memcpy() for the sizes that names and values have, without a call: two words that may overlap.
inline void CopyShort(char* to, const char* from, size_t size) {
  const auto copy = [&]<class Word>(Word first) {
    Word last;
    std::memcpy(&first, from, sizeof first);
    std::memcpy(&last, from + size - sizeof last, sizeof last);
    std::memcpy(to, &first, sizeof first);
    std::memcpy(to + size - sizeof last, &last, sizeof last);
  };
  if (size > 32) {
    std::memcpy(to, from, size);
  } else if (size >= 16) {
    copy(Bytes16());
  } else if (size >= 8) {
    copy(uint64_t());
  } else if (size >= 4) {
    copy(uint32_t());
  } else {
    for (size_t i = 0; i < size; ++i) to[i] = from[i];
  }
}

// Appends to a sink and remembers the first thing that went wrong; commits only a whole head.
//
// Fields that our parser has read are known to be what they seem; all others are looked at.
class Writer {
 public:
  explicit Writer(ByteSink& sink) : sink_(sink), at_(sink.at) {}

  // As it is: static text, or what the caller has looked at.
  void Text(std::string_view text) {
    if (!HasRoom(text.size())) return;
    Put(text);
  }
  void EndLine() {
    if (HasRoom(2)) PutLineEnd();
  }
  // A field's name and value that were written in pieces, with their line end.
  void Line(std::string_view text) {
    Text(text);
    EndLine();
  }

  void Number(uint64_t number) {
    char digits[kMaxNumberBytes];
    const auto end = std::to_chars(digits, digits + sizeof(digits), number).ptr;
    Text({digits, static_cast<size_t>(end - digits)});
  }
  void HexNumber(uint64_t number) {
    char digits[kMaxNumberBytes];
    const auto end = std::to_chars(digits, digits + sizeof(digits), number, 16).ptr;
    Text({digits, static_cast<size_t>(end - digits)});
  }

  void Field(const HeaderField& field) {
    if (!IsSafe(field)) result_ = WriteResult::kUnsafe;
    if (!HasRoom(field.name.size() + field.value.size() + 4)) return;
    char* at = at_;
    CopyShort(at, field.name.data(), field.name.size());
    at += field.name.size();
    std::memcpy(at, ": ", 2);
    at += 2;
    CopyShort(at, field.value.data(), field.value.size());
    at_ = at + field.value.size();
    PutLineEnd();
  }

  // The fields of `headers` that `is_forwarded` lets pass. Those that stand behind one another in
  // memory just as they are to be written, as the parser leaves them, are copied in one piece.
  template <class IsForwarded>
  void Fields(const HeaderList& headers, IsForwarded is_forwarded) {
    const HeaderField* const end = headers.data() + headers.size();
    for (const HeaderField* field = headers.data(); field != end; ++field) {
      if (!is_forwarded(*field)) continue;
      if (!HasNormalForm(*field)) {
        Field(*field);
        continue;
      }
      const char* const begin = field->name.data();
      for (;;) {
        if (!IsSafe(*field)) result_ = WriteResult::kUnsafe;
        const HeaderField* const next = field + 1;
        if (next == end || !FollowsDirectly(*field, *next) || !HasNormalForm(*next) ||
            !is_forwarded(*next)) {
          break;
        }
        field = next;
      }
      const char* const run_end = field->value.data() + field->value.size();
      const std::string_view run(begin, static_cast<size_t>(run_end - begin));
      if (!HasRoom(run.size() + 2)) return;
      Put(run);
      PutLineEnd();
    }
  }

  void Unsafe() { result_ = WriteResult::kUnsafe; }

  WriteResult Finish() {
    if (result_ != WriteResult::kOk) return result_;
    sink_.at = at_;
    return WriteResult::kOk;
  }

 private:
  // "Name: value" is what stands in memory.
  static bool HasNormalForm(const HeaderField& field) {
    const char* const name_end = field.name.data() + field.name.size();
    return field.value.data() == name_end + 2 && std::memcmp(name_end, ": ", 2) == 0;
  }
  static bool FollowsDirectly(const HeaderField& field, const HeaderField& next) {
    const char* const value_end = field.value.data() + field.value.size();
    return next.name.data() == value_end + 2 && std::memcmp(value_end, "\r\n", 2) == 0;
  }

  bool HasRoom(size_t bytes) {
    if (bytes <= static_cast<size_t>(sink_.end - at_)) return true;
    if (result_ == WriteResult::kOk) result_ = WriteResult::kFull;
    return false;
  }
  void Put(std::string_view text) {
    CopyShort(at_, text.data(), text.size());
    at_ += text.size();
  }

  void PutLineEnd() {
    std::memcpy(at_, "\r\n", 2);
    at_ += 2;
  }

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
  out.EndLine();
  if (has_upgrade) out.Field({"Upgrade", options.upgrade, HeaderId::kUpgrade});
  if (has_te) out.Line("TE: trailers");
}

void WriteFraming(Writer& out, const BodyFraming& body,
                  const std::optional<uint64_t>& declared_length) {
  switch (body.kind) {
    case BodyKind::kLength:
      out.Text("Content-Length: ");
      out.Number(body.length);
      out.EndLine();
      return;
    case BodyKind::kChunked:
      out.Line("Transfer-Encoding: chunked");
      return;
    case BodyKind::kNone:
      if (!declared_length.has_value()) return;
      out.Text("Content-Length: ");
      out.Number(*declared_length);
      out.EndLine();
      return;
    case BodyKind::kUntilClose:
      return;
  }
}

// What never goes on to the next hop, whatever else is said.
constexpr http::HeaderIdSet kNeverForwarded(HeaderId::kConnection, HeaderId::kKeepAlive,
                                            HeaderId::kProxyConnection,
                                            HeaderId::kProxyAuthenticate,
                                            HeaderId::kProxyAuthorization, HeaderId::kTe,
                                            HeaderId::kTransferEncoding, HeaderId::kUpgrade,
                                            HeaderId::kContentLength);

// Says of each field whether it goes on to the next hop as it is.
class Forwarding {
 public:
  Forwarding(const HeaderList& headers, const BodyFraming& body, http::HeaderIdSet skipped)
      : headers_(headers),
        skipped_(kNeverForwarded.With(skipped)),
        has_connection_(headers.Has(HeaderId::kConnection)) {
    // Trailer announces what only chunks can carry.
    if (body.kind != BodyKind::kChunked) skipped_.Add(HeaderId::kTrailer);
  }

  bool operator()(const HeaderField& field) const {
    if (skipped_.Contains(field.id)) return false;
    return field.id != HeaderId::kOther || !has_connection_ || !IsNominated(headers_, field);
  }

 private:
  const HeaderList& headers_;
  http::HeaderIdSet skipped_;
  const bool has_connection_;
};

bool AcceptsTrailers(const HeaderList& headers) {
  if (!headers.ids().Contains(HeaderId::kTe)) return false;
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

// With what stands around each name and value.
size_t FieldBytes(const HeaderList& headers) { return headers.field_bytes() + 4 * headers.size(); }

size_t ExtraBytes(const HeadOptions& options) {
  return options.extra == nullptr ? 0 : FieldBytes(*options.extra);
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
  out.Line(" HTTP/1.1");
  if (host.has_value())
    out.Field({"Host", *host, HeaderId::kHost});  // first, as RFC 9110, 7.2 advises
  const http::HeaderIdSet skipped = options.skipped.With(http::HeaderIdSet(HeaderId::kHost));
  out.Fields(headers, Forwarding(headers, body, skipped));
  if (options.extra != nullptr) {
    for (const HeaderField& field : *options.extra) out.Field(field);
  }
  WriteConnection(out, options, AcceptsTrailers(headers));
  WriteFraming(out, body, std::nullopt);
  out.EndLine();
  return out.Finish();
}

WriteResult WriteResponseHead(ByteSink& sink, int status, std::string_view reason_phrase,
                              const HeaderList& headers, const BodyFraming& body,
                              const HeadOptions& options) {
  Writer out(sink);
  if (status < 100 || status > 599 || !IsFieldValue(reason_phrase)) out.Unsafe();
  if (status == 200 && reason_phrase.empty()) {
    out.Line("HTTP/1.1 200 OK");
  } else {
    out.Text("HTTP/1.1 ");
    out.Number(static_cast<uint64_t>(status));
    out.Text(" ");
    out.Line(reason_phrase.empty() ? UsualReasonPhrase(status) : reason_phrase);
  }
  out.Fields(headers, Forwarding(headers, body, options.skipped));
  if (options.extra != nullptr) {
    for (const HeaderField& field : *options.extra) out.Field(field);
  }
  WriteConnection(out, options, false);
  if (status >= 200 && status != 204) {
    // A 304 has no body, whatever the framing says of the response that it stands for.
    WriteFraming(out, status == 304 ? BodyFraming{} : body, options.declared_length);
  }
  out.EndLine();
  return out.Finish();
}

size_t MaxHeadBytes(const RequestLine& line, const HeaderList& headers,
                    const HeadOptions& options) {
  return line.method.size() + line.path.size() + line.query.size() + options.upgrade.size() +
         options.host.size() + FieldBytes(headers) + ExtraBytes(options) + kOwnFieldsBytes;
}

size_t MaxHeadBytes(std::string_view reason_phrase, const HeaderList& headers,
                    const HeadOptions& options) {
  return reason_phrase.size() + options.upgrade.size() + FieldBytes(headers) + ExtraBytes(options) +
         kOwnFieldsBytes;
}

WriteResult WriteChunkHeader(ByteSink& sink, uint64_t size) {
  Writer out(sink);
  if (size == 0) out.Unsafe();
  out.HexNumber(size);
  out.EndLine();
  return out.Finish();
}

WriteResult WriteLastChunk(ByteSink& sink, const HeaderList& trailers) {
  Writer out(sink);
  out.Line("0");
  for (const HeaderField& field : trailers) out.Field(field);
  out.EndLine();
  return out.Finish();
}

}  // namespace outrigger::http1
