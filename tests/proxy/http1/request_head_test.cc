#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "proxy/http1/authority.h"
#include "tests/proxy/http1/support.h"

namespace outrigger::http1 {
namespace {

using http::Reason;
using namespace std::string_view_literals;

struct Request {
  HeadResult result;
  RequestHead head;
  http::HeaderList headers;
};

// Views point into `bytes`.
Request Parse(std::string_view bytes, const HeadLimits& limits = {}) {
  Request out;
  HeadProgress progress;
  out.result = ParseRequestHead(bytes, progress, limits, out.head, out.headers);
  return out;
}

TEST(RequestHead, IsTakenApart) {
  constexpr std::string_view kBytes =
      "POST /v1/chat/completions?a=b HTTP/1.1\r\n"
      "Host: example.test:8000\r\n"
      "content-type:application/json\r\n"
      "X-Spaces: \t two  words \t\r\n"
      "X-Empty:\r\n"
      "X-Latin: gr\xfc\xdf\r\n"
      "x-spaces: again\r\n"
      "\r\n"
      "body";
  const Request request = Parse(kBytes);
  ASSERT_EQ(request.result.status, HeadStatus::kDone) << request.result.message;
  EXPECT_EQ(kBytes.substr(request.result.consumed), "body");
  EXPECT_EQ(request.head.method, http::Method::kPost);
  EXPECT_EQ(request.head.method_text, "POST");
  EXPECT_EQ(request.head.target, "/v1/chat/completions?a=b");
  EXPECT_EQ(request.head.path, "/v1/chat/completions");
  EXPECT_EQ(request.head.query, "?a=b");
  EXPECT_EQ(request.head.authority, "example.test:8000");
  EXPECT_EQ(request.head.minor_version, 1);
  EXPECT_EQ(Print(request.headers),
            "Host: example.test:8000\n"
            "content-type: application/json\n"
            "X-Spaces: two  words\n"
            "X-Empty: \n"
            "X-Latin: gr\xfc\xdf\n"
            "x-spaces: again\n");
  EXPECT_TRUE(request.headers.Has(http::HeaderId::kContentType));
}

TEST(RequestHead, OneEmptyLineBeforeItIsSkipped) {
  constexpr std::string_view kBytes = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
  const Request request = Parse(kBytes);
  ASSERT_EQ(request.result.status, HeadStatus::kDone) << request.result.message;
  EXPECT_EQ(request.result.consumed, kBytes.size());
  EXPECT_EQ(request.head.method, http::Method::kGet);
}

TEST(RequestHead, OldClientsNeedNoHost) {
  const Request request = Parse("GET / HTTP/1.0\r\n\r\n");
  ASSERT_EQ(request.result.status, HeadStatus::kDone) << request.result.message;
  EXPECT_EQ(request.head.minor_version, 0);
  EXPECT_EQ(request.head.authority, "");
}

TEST(RequestHead, EveryFormOfTargetIsUnderstood) {
  struct Case {
    std::string_view line;
    TargetForm form;
    std::string_view path;
    std::string_view query;
    std::string_view authority;
    std::string_view host = "h";
  };
  const Case cases[] = {
      {"GET / HTTP/1.1", TargetForm::kOrigin, "/", "", "h"},
      {"GET /? HTTP/1.1", TargetForm::kOrigin, "/", "?", "h"},
      {"GET //x HTTP/1.1", TargetForm::kOrigin, "//x", "", "h"},
      {"GET /http://x/ HTTP/1.1", TargetForm::kOrigin, "/http://x/", "", "h"},
      {"GET /%zz{|}\\\" HTTP/1.1", TargetForm::kOrigin, "/%zz{|}\\\"", "", "h"},
      {"OPTIONS * HTTP/1.1", TargetForm::kAsterisk, "*", "", "h"},
      {"GET http://h/a?b HTTP/1.1", TargetForm::kAbsolute, "/a", "?b", "h"},
      {"GET HTTP://H HTTP/1.1", TargetForm::kAbsolute, "/", "", "H"},
      {"GET http://h?b HTTP/1.1", TargetForm::kAbsolute, "/", "?b", "h"},
      {"GET http://h:80/ HTTP/1.1", TargetForm::kAbsolute, "/", "", "h:80"},
      {"GET http://h/ HTTP/1.1", TargetForm::kAbsolute, "/", "", "h", "h:80"},
      {"GET http://h:/ HTTP/1.1", TargetForm::kAbsolute, "/", "", "h:", "h"},
      {"GET https://h:443/ HTTP/1.1", TargetForm::kAbsolute, "/", "", "h:443", "h"},
      {"GET http://[::1]:8/ HTTP/1.1", TargetForm::kAbsolute, "/", "", "[::1]:8", "[::1]:8"},
  };
  for (const Case& c : cases) {
    const std::string bytes = std::string(c.line) + "\r\nHost: " + std::string(c.host) + "\r\n\r\n";
    const Request request = Parse(bytes);
    ASSERT_EQ(request.result.status, HeadStatus::kDone) << c.line << request.result.message;
    EXPECT_EQ(request.head.form, c.form) << c.line;
    EXPECT_EQ(request.head.path, c.path) << c.line;
    EXPECT_EQ(request.head.query, c.query) << c.line;
    EXPECT_EQ(request.head.authority, c.authority) << c.line;
    EXPECT_EQ(request.head.is_https_target, c.line.find("https:") != std::string_view::npos);
  }
}

TEST(RequestHead, MethodsOfExtensionsPass) {
  const std::string longest(32, 'M');
  for (const std::string& method : {std::string("PROPFIND"), std::string("M-SEARCH"), longest}) {
    const std::string bytes = method + " / HTTP/1.1\r\nHost: a\r\n\r\n";
    const Request request = Parse(bytes);
    ASSERT_EQ(request.result.status, HeadStatus::kDone) << method;
    EXPECT_EQ(request.head.method, http::Method::kOther);
    EXPECT_EQ(request.head.method_text, method);
  }
}

struct Refused {
  std::string_view bytes;
  Reason reason = Reason::kBadRequest;
};

constexpr Refused kRefused[] = {
    // RFC 9112, 2.2: line ends and what comes before the request line.
    {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {" GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/1.1\nHost: a\n\n"},
    {"GET / HTTP/1.1\r\nHost: a\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\n\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\n\rX: b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"},
    {"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n"},
    {"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/1.1\r\n X: b\r\nHost: a\r\n\r\n"},
    {"\x16\x03\x01\x02"},
    {"\0"sv},
    {"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n"},
    // 2.3: version.
    {"GET /\r\n\r\n"},
    {"GET / \r\nHost: a\r\n\r\n"},
    {"GET / http/1.1\r\nHost: a\r\n\r\n"},
    {"GET / Http/1.1\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/1\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/1.\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/1.10\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/01.1\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/ 1.1\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/1,1\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
    {"GET / HTTP/1.1\t\r\nHost: a\r\n\r\n"},
    {"GET / HTTPS/1.1\r\nHost: a\r\n\r\n"},
    {"GET / ICE/1.0\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/0.9\r\nHost: a\r\n\r\n", Reason::kHttpVersion},
    {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", Reason::kHttpVersion},
    {"GET / HTTP/1.9\r\nHost: a\r\n\r\n", Reason::kHttpVersion},
    {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Reason::kHttpVersion},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reason::kHttpVersion},
    {"PRI / HTTP/1.1\r\nHost: a\r\n\r\n", Reason::kBadRequest},
    // 3: request line.
    {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET /  HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET / a HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET\r\nHost: a\r\n\r\n"},
    {"GET \r\nHost: a\r\n\r\n"},
    {"GET HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"G\xc3\x84T / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET: / HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM / HTTP/1.1\r\nHost: a\r\n\r\n", Reason::kNotImplemented},
    {"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", Reason::kNotImplemented},
    // 3.2: target.
    {"GET a HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n"},
    {"GET * HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"OPTIONS *x HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET ?x HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"sv},
    {"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET http:/a HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET http:a HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET http://:80/x HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET http://a:x/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET http://a\\/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"},
    {"GET http://a:81/ HTTP/1.1\r\nHost: a\r\n\r\n"},
    {"GET https://a/ HTTP/1.1\r\nHost: a:80\r\n\r\n"},
    {"GET http://a/ HTTP/1.1\r\n\r\n"},
    // 3.2: Host.
    {"GET / HTTP/1.1\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"},
    {"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: \r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n"},
    // 5: field lines.
    {"GET / HTTP/1.1\r\nHost: a\r\nX : b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX\t: b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX Y: b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\n X: b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n \r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX(y): b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\n\"X\": b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX\xc3\xa4: b\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX\0: b\r\n\r\n"sv},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\0c\r\n\r\n"sv},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: 0123456789\0"
     "0123456789\r\n\r\n"sv},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\x7f\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: 01234567\x7f"
     "01234567\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\x1b[0m\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\x0b"
     "c\r\n\r\n"},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: \x0c\r\n\r\n"},
};

TEST(RequestHead, EverythingTheGrammarDoesNotAllowIsRefused) {
  for (const Refused& c : kRefused) {
    const Request request = Parse(c.bytes);
    EXPECT_EQ(request.result.status, HeadStatus::kError) << testing::PrintToString(c.bytes);
    EXPECT_EQ(request.result.reason, c.reason) << testing::PrintToString(c.bytes);
    EXPECT_FALSE(request.result.message.empty());
  }
}

TEST(RequestHead, EveryControlCharacterInAValueIsRefusedAtEveryPosition) {
  for (int c = 0; c < 256; ++c) {
    for (size_t at = 0; at < 20; ++at) {
      std::string value(20, 'v');
      value[at] = static_cast<char>(c);
      const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\nX: " + value + "\r\n\r\n";
      const bool is_allowed = c == '\t' || (c >= 0x20 && c != 0x7f);
      EXPECT_EQ(Parse(bytes).result.status, is_allowed ? HeadStatus::kDone : HeadStatus::kError)
          << c << " at " << at;
    }
  }
}

TEST(RequestHead, NamesHaveTheCharactersOfTokensOnly) {
  constexpr std::string_view kOthers = "!#$%&'*+-.^_`|~";
  for (int c = 0; c < 256; ++c) {
    const bool is_token_char = (c < 0x80 && std::isalnum(c) != 0) ||
                               (c != 0 && kOthers.find(static_cast<char>(c)) != kOthers.npos);
    if (c == ':') continue;
    const std::string bytes =
        std::string("GET / HTTP/1.1\r\nHost: a\r\nX") + static_cast<char>(c) + "y: b\r\n\r\n";
    EXPECT_EQ(Parse(bytes).result.status, is_token_char ? HeadStatus::kDone : HeadStatus::kError)
        << c;
  }
}

TEST(RequestHead, TargetIsBounded) {
  HeadLimits limits;
  limits.max_target_bytes = 100;
  const auto request = [](size_t target_bytes) {
    return "GET /" + std::string(target_bytes - 1, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n";
  };
  EXPECT_EQ(ParseRequest(request(100), Whole(), limits).result.status, HeadStatus::kDone);
  for (size_t bytes : {101, 130, 150, 200, 1000}) {
    const ParsedHead parsed = ParseRequest(request(bytes), Whole(), limits);
    EXPECT_EQ(parsed.result.reason, Reason::kUriTooLong) << bytes;
    EXPECT_EQ(ParseRequest(request(bytes), ByteByByte(), limits).text, parsed.text) << bytes;
  }
  // Without waiting for the end of the line.
  EXPECT_EQ(Parse("GET /" + std::string(1000, 'a'), limits).result.reason, Reason::kUriTooLong);
  EXPECT_EQ(Parse(std::string(1000, 'a'), limits).result.reason, Reason::kNotImplemented);
  EXPECT_EQ(Parse("a" + std::string(1000, '('), limits).result.reason, Reason::kBadRequest);
}

TEST(RequestHead, HeadIsBounded) {
  const std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(500, 'x') + "\r\n\r\n";
  HeadLimits limits;
  limits.max_head_bytes = bytes.size();
  EXPECT_EQ(ParseRequest(bytes + "body", Whole(), limits).result.status, HeadStatus::kDone);
  EXPECT_EQ(ParseRequest(bytes + "body", ByteByByte(), limits).result.status, HeadStatus::kDone);
  limits.max_head_bytes = bytes.size() - 1;
  for (const Split& split : {Whole(), ByteByByte()}) {
    EXPECT_EQ(ParseRequest(bytes, split, limits).result.reason, Reason::kHeadersTooLarge);
  }
}

TEST(RequestHead, NumberOfFieldsIsBounded) {
  HeadLimits limits;
  limits.max_fields = 10;
  std::string bytes = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 1; i < 10; ++i) bytes += "X: y\r\n";
  EXPECT_EQ(ParseRequest(bytes + "\r\n", Whole(), limits).result.status, HeadStatus::kDone);
  EXPECT_EQ(ParseRequest(bytes + "\r\n", ByteByByte(), limits).result.status, HeadStatus::kDone);
  bytes += "X: y\r\n";
  for (const Split& split : {Whole(), ByteByByte()}) {
    EXPECT_EQ(ParseRequest(bytes, split, limits).result.reason, Reason::kHeadersTooLarge);
  }
}

TEST(RequestHead, ResultDoesNotDependOnHowTheBytesArrive) {
  std::vector<std::string> messages = {
      "POST /v1/chat/completions HTTP/1.1\r\nHost: example.test\r\nContent-Length: 3\r\n"
      "X: y\r\n\r\nabcGET / HTTP/1.1",
      "\r\nOPTIONS * HTTP/1.0\r\n\r\n",
      "GET http://a/b?c HTTP/1.1\r\nHost: A:80\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a\r\nX: b",
  };
  for (const Refused& c : kRefused) messages.emplace_back(c.bytes);
  for (const std::string& message : messages) {
    const std::string whole = ParseRequest(message).text;
    EXPECT_EQ(ParseRequest(message, ByteByByte()).text, whole) << testing::PrintToString(message);
    for (size_t at = 0; at <= message.size(); ++at) {
      EXPECT_EQ(ParseRequest(message, At(at)).text, whole)
          << testing::PrintToString(message) << " split at " << at;
    }
  }
}

TEST(RequestHead, EveryPrefixOfAGoodHeadIsIncomplete) {
  constexpr std::string_view kBytes = "\r\nPOST http://a/b HTTP/1.1\r\nHost: a\r\nX-Y: z\r\n\r\n";
  for (size_t length = 0; length < kBytes.size(); ++length) {
    EXPECT_EQ(ParseRequest(kBytes.substr(0, length)).result.status, HeadStatus::kIncomplete)
        << length;
  }
}

TEST(Authority, HostsAndPortsFollowTheirGrammar) {
  for (std::string_view text :
       {"a", "a.b-c_d.test", "127.0.0.1:80", "[::1]", "[2001:db8::1]:443", "[::ffff:127.0.0.1]",
        "a:", "a:0", "a:65535", "%41", "a!$&'()*+,;=~"}) {
    EXPECT_TRUE(IsValidAuthority(text)) << text;
  }
  for (std::string_view text : {"",       ":80",     "a:65536", "a:99999999999999999999",
                                "a:-1",   "a:8 0",   "a b",     "a\tb",
                                "[::1",   "::1",     "[]",      "[:]x",
                                "[::1]x", "[::1]:x", "[g::1]",  "[1234]",
                                "a]",     "a[b]",    "%4",      "%zz",
                                "a%",     "u@a",     "a/b",     "a?b",
                                "a#b",    "a\\b",    "<a>",     "\xc3\xa4",
                                "a:b:80"}) {
    EXPECT_FALSE(IsValidAuthority(text)) << text;
  }
}

}  // namespace
}  // namespace outrigger::http1
