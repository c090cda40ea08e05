// Names, headers, methods, paths and media types: the text types of scalar_types.h.

#include <algorithm>
#include <charconv>

#include "absl/strings/ascii.h"
#include "proxy/base/json_pointer.h"
#include "proxy/config/scalar_types.h"
#include "proxy/tls/san_rule.h"
#include "proxy/tunnel/upgrade.h"

namespace outrigger::config {
namespace {

absl::Status Invalid(const std::string& message) { return absl::InvalidArgumentError(message); }

class CheckedText final : public ScalarType<std::string> {
 public:
  CheckedText(std::string what, std::string pattern, ReadText read)
      : what_(std::move(what)), pattern_(std::move(pattern)), read_(read) {}

  Json Dump(const std::string& value) const override {
    return value.empty() ? Json(nullptr) : Json(value);
  }
  Json Schema(Json& /*definitions*/) const override {
    Json schema = {{"type", "string"}};
    if (!pattern_.empty()) schema["pattern"] = pattern_;
    return schema;
  }
  std::string Text() const override { return what_; }

 protected:
  absl::StatusOr<std::string> Read(const Node& scalar) const override {
    absl::StatusOr<std::string> text = read_(scalar.text);
    if (!text.ok() && text.status().message().empty()) return Invalid(Mismatch(scalar));
    return text;
  }

 private:
  std::string what_;
  std::string pattern_;
  ReadText read_;
};

constexpr bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
constexpr bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// RFC 9110, section 5.6.2.
bool IsToken(std::string_view text) {
  static constexpr std::string_view kSymbols = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return IsLetter(c) || IsDigit(c) || kSymbols.find(c) != kSymbols.npos;
  });
}

// Without a message: the type's own "expected ..., got ..." says it all.
absl::Status Mismatched() { return Invalid(""); }

absl::StatusOr<std::string> ReadName(std::string_view text) {
  constexpr size_t kMaxName = 64;
  static constexpr std::string_view kSymbols = "._-";
  const bool valid = std::all_of(text.begin(), text.end(), [](char c) {
    return IsLetter(c) || IsDigit(c) || kSymbols.find(c) != kSymbols.npos;
  });
  if (text.empty() || text.size() > kMaxName || !valid) return Mismatched();
  return std::string(text);
}

absl::StatusOr<std::string> ReadHeaderName(std::string_view text) {
  if (!IsToken(text)) return Mismatched();
  return absl::AsciiStrToLower(std::string(text));
}

absl::StatusOr<std::string> ReadHeaderValue(std::string_view text) {
  // RFC 9110, section 5.5: no control characters, no space at either end.
  const bool valid = std::none_of(text.begin(), text.end(), [](char c) {
    return static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
  });
  if (text.empty() || !valid || text.front() == ' ' || text.back() == ' ') return Mismatched();
  return std::string(text);
}

absl::StatusOr<std::string> ReadMethod(std::string_view text) {
  if (!IsToken(text)) return Mismatched();
  // Methods are case-sensitive (RFC 9110, section 9.1): `post` would never match.
  if (std::any_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; })) {
    return Invalid(fmt::format("methods are written in capital letters, got {}", Quote(text)));
  }
  return std::string(text);
}

// Whether `%41` stands for a character that the normal form shows as itself (RFC 3986, 2.3).
bool HasNeedlessEscape(std::string_view path) {
  for (size_t i = 0; i + 2 < path.size(); ++i) {
    if (path[i] != '%') continue;
    unsigned int code = 0;
    const auto [end, error] = std::from_chars(&path[i + 1], &path[i + 1] + 2, code, 16);
    if (error != std::errc() || end != &path[i + 1] + 2) return true;
    const char c = static_cast<char>(code);
    if (code < 0x80 &&
        (IsLetter(c) || IsDigit(c) || c == '-' || c == '.' || c == '_' || c == '~')) {
      return true;
    }
  }
  return false;
}

absl::StatusOr<std::string> ReadPath(std::string_view text) {
  if (!text.starts_with('/')) return Mismatched();
  for (const char c : text) {
    if (static_cast<unsigned char>(c) <= 0x20 || c == 0x7F || c == '?' || c == '#') {
      return Invalid(fmt::format("a path has no spaces, '?' or '#', got {}", Quote(text)));
    }
  }
  // Requests are matched in the normal form, so anything else would never match.
  const std::string framed = std::string(text) + "/";
  if (text.find("//") != text.npos || framed.find("/./") != framed.npos ||
      framed.find("/../") != framed.npos || HasNeedlessEscape(text)) {
    return Invalid(fmt::format(
        "write the path in its normal form, without //, /./, /../ and needless %XX, got {}",
        Quote(text)));
  }
  return std::string(text);
}

absl::StatusOr<std::string> ReadLiteralPath(std::string_view text) {
  if (text.find('*') != text.npos) {
    return Invalid(fmt::format("'*' stands for a segment only in `template`, got {}", Quote(text)));
  }
  return ReadPath(text);
}

absl::StatusOr<std::string> ReadPathTemplate(std::string_view text) {
  absl::StatusOr<std::string> path = ReadPath(text);
  if (!path.ok()) return path;
  for (std::string_view rest = text; !rest.empty();) {
    rest.remove_prefix(1);  // the slash
    const std::string_view segment = rest.substr(0, rest.find('/'));
    rest.remove_prefix(segment.size());
    const bool named = segment.size() > 2 && segment.front() == '{' && segment.back() == '}';
    const std::string_view literal = named ? segment.substr(1, segment.size() - 2) : segment;
    if (segment != "*" && literal.find_first_of("*{}") != literal.npos) {
      return Invalid(
          fmt::format("'*' or {{name}} must be a whole segment, got {}", Quote(segment)));
    }
  }
  return path;
}

absl::StatusOr<std::string> ReadMediaType(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == text.npos || !IsToken(text.substr(0, slash)) || !IsToken(text.substr(slash + 1))) {
    return Mismatched();
  }
  return absl::AsciiStrToLower(std::string(text));
}

absl::StatusOr<std::string> ReadFilePath(std::string_view text) {
  if (text.size() < 2 || text.front() != '/' || text.back() == '/') return Mismatched();
  if (text.find('\0') != text.npos) return Mismatched();
  return std::string(text);
}

absl::StatusOr<std::string> ReadHostName(std::string_view text) {
  constexpr size_t kMaxHostName = 253;
  static constexpr std::string_view kSymbols = ".-_:";  // colons for IPv6
  const bool valid = std::all_of(text.begin(), text.end(), [](char c) {
    return IsLetter(c) || IsDigit(c) || kSymbols.find(c) != kSymbols.npos;
  });
  if (text.empty() || text.size() > kMaxHostName || !valid) return Mismatched();
  return std::string(text);
}

absl::StatusOr<std::string> ReadSanRule(std::string_view text) {
  absl::StatusOr<tls::SanRule> rule = tls::SanRule::Parse(text);
  if (!rule.ok()) return Mismatched();
  return std::string(text);
}

absl::StatusOr<std::string> ReadJsonPointer(std::string_view text) {
  if (text.empty()) return Mismatched();
  absl::StatusOr<JsonPointer> pointer = ParseJsonPointer(text);
  if (!pointer.ok()) {
    return Invalid(fmt::format("not a JSON Pointer: {}, got {}",
                               std::string(pointer.status().message()), Quote(text)));
  }
  return std::string(text);
}

absl::StatusOr<std::string> ReadUpgrade(std::string_view text) {
  std::string protocol = absl::AsciiStrToLower(std::string(text));
  if (!tunnel::MayBeAllowed(protocol)) return Mismatched();
  return protocol;
}

}  // namespace

Type<std::string> TextType(std::string what, std::string pattern, ReadText read) {
  return std::make_shared<CheckedText>(std::move(what), std::move(pattern), read);
}
Type<std::string> NameType() {
  return TextType("a name of at most 64 letters, digits, '.', '_' and '-'",
                  "^[A-Za-z0-9._-]{1,64}$", ReadName);
}
Type<std::string> HeaderNameType() {
  return TextType("the name of a header", "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", ReadHeaderName);
}
Type<std::string> HeaderValueType() {
  return TextType("the value of a header", "^[^ ](.*[^ ])?$", ReadHeaderValue);
}
Type<std::string> MethodType() {
  return TextType("a method such as POST", "^[A-Z0-9!#$%&'*+.^_`|~-]+$", ReadMethod);
}
Type<std::string> PathType() {
  return TextType("a path such as /v1/models", "^/[^ ?#*]*$", ReadLiteralPath);
}
Type<std::string> PathTemplateType() {
  return TextType("a path such as /v2/models/*/infer", "^/[^ ?#]*$", ReadPathTemplate);
}
Type<std::string> MediaTypeType() {
  return TextType("a media type such as application/json", "^[^/ ]+/[^/ ;]+$", ReadMediaType);
}
Type<std::string> FileType() {
  return TextType("the absolute path of a file, such as /certs/tls.crt", "^/.*[^/]$", ReadFilePath);
}
Type<std::string> HostNameType() {
  return TextType("a host name or address", "^[A-Za-z0-9._:-]{1,253}$", ReadHostName);
}
Type<std::string> UpgradeType() {
  return TextType("a protocol such as websocket, and neither HTTP nor TLS",
                  "^[A-Za-z0-9!#$%&'*+.^_`|~/-]{1,64}$", ReadUpgrade);
}
Type<std::string> JsonPointerType() {
  return TextType("a JSON Pointer such as /metadata/trace_id", "^(/([^/~]|~[01])*)+$",
                  ReadJsonPointer);
}
Type<std::string> SanRuleType() {
  return TextType("a name such as spiffe://example.org/ns/prod/* or dns:web.example.org",
                  "^(dns:(\\*\\.)?[^/*]+|[^:/*]+://[^/*][^*]*(/\\*)?)$", ReadSanRule);
}

}  // namespace outrigger::config
