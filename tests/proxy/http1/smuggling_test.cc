// Requests by which one party of a chain was made to see another message than the next. Each is
// written as whole bytes, as on the wire, and must be refused by head, framing or body.

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "tests/proxy/http1/support.h"

namespace outrigger::http1 {
namespace {

using namespace std::string_view_literals;

struct Case {
  std::string_view name;
  std::string_view bytes;
  std::string_view reason = "bad_request";
};

constexpr Case kCases[] = {
    {"CL.TE",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
     "0\r\n\r\nG"},
    {"TE.CL",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
     "12\r\nGPOST / HTTP/1.1\r\n\r\n0\r\n\r\n"},
    {"TE.TE with an unknown second coding",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n"
     "0\r\n\r\n"},
    {"TE.TE in one list",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"},
    {"TE with space before the colon",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding : chunked\r\n\r\n"
     "0\r\n\r\n"},
    {"TE with tab before the colon",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"},
    {"TE behind a vertical tab",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0b"
     "chunked\r\n\r\n0\r\n\r\n"},
    {"TE behind a form feed",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0c"
     "chunked\r\n\r\n0\r\n\r\n"},
    {"TE before a NUL",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\0\r\n\r\n0\r\n\r\n"sv},
    {"TE behind a no-break space",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \xa0"
     "chunked\r\n\r\n0\r\n\r\n"},
    {"TE in quotes",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"},
    {"TE in single quotes",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: 'chunked'\r\n\r\n0\r\n\r\n"},
    {"TE with a prefix",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
    {"TE with a parameter",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;x=y\r\n\r\n0\r\n\r\n"},
    {"TE folded", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"},
    {"TE in a folded line of another field",
     "POST / HTTP/1.1\r\nHost: a\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"TE hidden behind a bare LF",
     "POST / HTTP/1.1\r\nHost: a\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"TE hidden behind a bare CR",
     "POST / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"TE before a bare CR",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\r\n\r\n0\r\n\r\n"},
    {"TE on the first line behind a space",
     "POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: a\r\n\r\n0\r\n\r\n"},
    {"TE empty", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\nContent-Length: 5\r\n\r\n"},
    {"TE identity with CL",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"},
    {"TE in HTTP/1.0",
     "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n"
     "0\r\n\r\n"},
    {"TE gzip, chunked",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
     "not_implemented"},
    {"CL with a sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello"},
    {"CL negative", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"},
    {"CL hexadecimal", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello"},
    {"CL with a fraction", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5.0\r\n\r\nhello"},
    {"CL with an underscore", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1_0\r\n\r\nhello"},
    {"CL with a space inside", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 0\r\n\r\nhello"},
    {"CL list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello"},
    {"CL list that differs", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 6\r\n\r\nhello"},
    {"CL twice",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
    {"CL twice that differ",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nhello"},
    {"CL overflow of 64 bits",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551621\r\n\r\nhello"},
    {"CL empty", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"},
    {"CL with space before the colon",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello"},
    {"CL folded", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 5\r\n\r\nhello"},
    {"CL with Arabic digits",
     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa5\r\n\r\nhello"},
    {"CL with an underscore for the hyphen",
     "POST / HTTP/1.1\r\nHost: a\r\nContent_Length: 5\r\n\r\nhello"},
    {"TE with an underscore for the hyphen",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n"},
    {"X-Forwarded-Client-Cert with one underscore",
     "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded_Client-Cert: x\r\n\r\n"},
    {"CL hidden by Connection",
     "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 5\r\n\r\nhello"},
    {"chunk size with 0x",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"},
    {"chunk size with a sign",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n"},
    {"chunk size negative",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"},
    {"chunk size overflow",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "100000000000000005\r\nhello\r\n0\r\n\r\n"},
    {"chunk size with trailing space",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nhello\r\n0\r\n\r\n"},
    {"chunk size with an underscore",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\nhello\r\n0\r\n\r\n"},
    {"chunk line ended by LF",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"},
    {"chunk extension with LF (TERM.EXT)",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "5;\nxx\r\nhello\r\n0\r\n\r\n"},
    {"chunk extension with CR (EXT.TERM)",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "5;a\rxx\r\nhello\r\n0\r\n\r\n"},
    {"chunk extension in quotes with a line end",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "5;a=\"\r\nhello\r\n0\r\n\r\n\"\r\n"},
    {"chunk without its line end (SPILL)",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"},
    {"chunk data ended by LF",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n"},
    {"last chunk ended by LF",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\nGET /x HTTP/1.1\r\n"},
    {"Content-Length in trailers",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "0\r\nContent-Length: 50\r\n\r\n"},
    {"trailer section ended by LF",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\nGET /"},
    {"request line in trailers",
     "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
     "0\r\nGET /admin HTTP/1.1\r\n\r\n"},
    {"Host twice", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
    {"Host differs from the target", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n"},
    {"Host behind a space", "GET / HTTP/1.1\r\nHost: a\r\n Host: b\r\n\r\n"},
    {"Host with a path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"},
    {"Host with user information", "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n"},
    {"second request in the target", "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"},
    {"HTTP/0.9", "GET /\r\n"},
    {"version 1.2", "GET / HTTP/1.2\r\nHost: a\r\n\r\n", "http_version"},
    {"only LF", "GET / HTTP/1.1\nHost: a\n\n"},
    {"head ended by LF", "GET / HTTP/1.1\r\nHost: a\r\n\n"},
    {"head ended by CR CR LF", "GET / HTTP/1.1\r\nHost: a\r\n\r\r\n"},
    {"field without a name", "GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n"},
    {"field without a colon", "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding chunked\r\n\r\n"},
    {"NUL in a name", "GET / HTTP/1.1\r\nHost: a\r\nX\0Y: z\r\n\r\n"sv},
    {"Authorization stripped by Connection",
     "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, Authorization\r\nAuthorization: x\r\n\r\n"},
    {"X-Forwarded-For stripped by Connection",
     "GET / HTTP/1.1\r\nHost: a\r\nConnection: X-Forwarded-For\r\nX-Forwarded-For: x\r\n\r\n"},
    {"CONNECT", "CONNECT a:22 HTTP/1.1\r\nHost: a:22\r\n\r\n", "not_implemented"},
};

TEST(Smuggling, EveryKnownTrickIsRefused) {
  for (const Case& c : kCases) {
    const std::string verdict = JudgeRequest(c.bytes);
    EXPECT_TRUE(verdict.starts_with(std::string(c.reason) + ": ")) << c.name << ": " << verdict;
  }
}

// The table above proves nothing if everything were refused.
TEST(Smuggling, TheHonestRequestsTheyImitatePass) {
  constexpr std::string_view kHonest[] = {
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \t5 \r\n\r\nhello",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n",
      "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n\r\n",
      "POST / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello",
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
      "GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
  };
  for (std::string_view bytes : kHonest) EXPECT_EQ(JudgeRequest(bytes), "ok") << bytes;
}

}  // namespace
}  // namespace outrigger::http1
