#include "filters/idempotency/fingerprint.h"

#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace outrigger::idempotency {
namespace {

struct TestRequest {
  std::string method = "POST";
  std::string target = "/v1/chat/completions?a=1";
  std::string content_type = "application/json";
  std::string body = R"({"model":"m"})";
};

Fingerprint Of(const TestRequest& request) {
  Fingerprinter fingerprinter(request.method, request.target, request.content_type);
  fingerprinter.Update(request.body);
  return fingerprinter.Finish();
}

std::optional<RequestPart> Differ(const TestRequest& a, const TestRequest& b) {
  return FindDifference(Of(a), Of(b));
}

TEST(Fingerprint, IsEqualForEqualRequests) {
  EXPECT_EQ(Differ({}, {}), std::nullopt);
  EXPECT_EQ(Differ({.body = ""}, {.body = ""}), std::nullopt);
}

TEST(Fingerprint, NamesThePartThatDiffers) {
  EXPECT_EQ(Differ({}, {.method = "PATCH"}), RequestPart::kMethod);
  EXPECT_EQ(Differ({}, {.target = "/v1/chat/completions"}), RequestPart::kPath);
  EXPECT_EQ(Differ({}, {.target = "/v1/chat/completions?a=2"}), RequestPart::kPath);
  EXPECT_EQ(Differ({}, {.content_type = "text/plain"}), RequestPart::kMediaType);
  EXPECT_EQ(Differ({}, {.content_type = "application/json; charset=utf-16"}),
            RequestPart::kMediaType);
  EXPECT_EQ(Differ({}, {.content_type = ""}), RequestPart::kMediaType);
  EXPECT_EQ(Differ({}, {.body = R"({"model":"n"})"}), RequestPart::kBody);
  EXPECT_EQ(Differ({}, {.body = ""}), RequestPart::kBody);
}

TEST(Fingerprint, TellsAHeadThatDiffersBeforeTheBody) {
  const Fingerprinter a("POST", "/a", "text/plain");
  const Fingerprinter b("POST", "/b", "text/plain");
  EXPECT_EQ(FindDifference(a.head(), b.head()), RequestPart::kPath);
  EXPECT_EQ(FindDifference(a.head(), a.head()), std::nullopt);
}

TEST(Fingerprint, ComparesTheEssenceOfTheMediaTypeWithoutCase) {
  EXPECT_EQ(Differ({}, {.content_type = " Application/JSON "}), std::nullopt);
  EXPECT_EQ(Differ({.content_type = "a/b;Charset=X"}, {.content_type = "A/B;Charset=X"}),
            std::nullopt);
  EXPECT_EQ(Differ({.content_type = "a/b;Charset=X"}, {.content_type = "a/b;Charset=x"}),
            RequestPart::kMediaType);
}

TEST(Fingerprint, KeepsPartsApart) {
  // Without length prefixes each pair would hash the same bytes.
  EXPECT_TRUE(Differ({.method = "POST", .target = "/ab"}, {.method = "POST/", .target = "ab"}));
  EXPECT_TRUE(
      Differ({.target = "/a", .content_type = "bc"}, {.target = "/ab", .content_type = "c"}));
  EXPECT_TRUE(Differ({.content_type = "a", .body = "bc"}, {.content_type = "ab", .body = "c"}));
}

TEST(Fingerprint, DoesNotDependOnHowTheBodyIsCut) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 50; ++round) {
    TestRequest request;
    request.body.resize(random() % 3000);
    for (char& c : request.body) c = static_cast<char>(random());
    Fingerprinter fingerprinter(request.method, request.target, request.content_type);
    for (size_t at = 0; at < request.body.size();) {
      const size_t bytes = std::min<size_t>(random() % 200, request.body.size() - at);
      fingerprinter.Update(std::string_view(request.body).substr(at, bytes));
      at += bytes;
    }
    EXPECT_EQ(FindDifference(fingerprinter.Finish(), Of(request)), std::nullopt);
  }
}

TEST(Fingerprint, ServesMoreHashesAtOnceThanContextsAreKept) {
  std::vector<Fingerprinter> many;
  for (int i = 0; i < 200; ++i) many.emplace_back("POST", "/", "");
  for (Fingerprinter& one : many) one.Update("x");
  const Fingerprint expected = many.front().Finish();
  for (size_t i = 1; i < many.size(); ++i) EXPECT_EQ(many[i].Finish().digest, expected.digest);
}

// --- Multipart ---

std::string Multipart(std::string_view boundary, const std::vector<std::string>& parts) {
  std::string body;
  for (const std::string& part : parts) {
    body.append("--").append(boundary).append("\r\n").append(part).append("\r\n");
  }
  return body.append("--").append(boundary).append("--\r\n");
}

TestRequest Upload(std::string_view boundary, const std::vector<std::string>& parts) {
  return {.content_type = "multipart/form-data; boundary=" + std::string(boundary),
          .body = Multipart(boundary, parts)};
}

const std::vector<std::string> kParts = {
    "Content-Disposition: form-data; name=\"file\"; "
    "filename=\"a.wav\"\r\n\r\nRIFF\r\n\r-\r\n--x\r\n",
    "Content-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1"};

TEST(MultipartFingerprint, IgnoresTheBoundary) {
  EXPECT_EQ(Differ(Upload("abc", kParts), Upload("a-much-longer-boundary-0123456789", kParts)),
            std::nullopt);
}

TEST(MultipartFingerprint, ComparesThePartsExactly) {
  std::vector<std::string> other = kParts;
  other[1] += "x";
  EXPECT_EQ(Differ(Upload("abc", kParts), Upload("def", other)), RequestPart::kBody);
  EXPECT_EQ(Differ(Upload("abc", kParts), Upload("def", {kParts[0]})), RequestPart::kBody);
  EXPECT_EQ(Differ(Upload("abc", kParts), Upload("def", {kParts[1], kParts[0]})),
            RequestPart::kBody);
  // The same bytes, cut elsewhere.
  EXPECT_EQ(Differ(Upload("abc", {"xy", "z"}), Upload("abc", {"x", "yz"})), RequestPart::kBody);
  EXPECT_EQ(Differ(Upload("abc", {"x", ""}), Upload("abc", {"", "x"})), RequestPart::kBody);
}

TEST(MultipartFingerprint, ComparesTheOtherParameters) {
  TestRequest a = Upload("abc", kParts);
  TestRequest b = Upload("def", kParts);
  a.content_type += "; charset=utf-8";
  EXPECT_EQ(Differ(a, b), RequestPart::kMediaType);
  b.content_type = "Multipart/Form-Data; Charset=utf-8; Boundary=\"def\"";
  EXPECT_EQ(Differ(a, b), std::nullopt);
}

TEST(MultipartFingerprint, ComparesTheExactBytesWithoutAUsableBoundary) {
  TestRequest a = Upload("abc", kParts);
  TestRequest b = Upload("def", kParts);
  for (const char* type :
       {"multipart/form-data", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=a@b", "multipart/form-data; boundary=\"a",
        "multipart/form-data; boundary=a; boundary=b", "text/plain; boundary=abc"}) {
    a.content_type = b.content_type = type;
    EXPECT_EQ(Differ(a, b), RequestPart::kBody) << type;
    EXPECT_EQ(Differ(a, a), std::nullopt) << type;
  }
}

TEST(MultipartFingerprint, KeepsAMalformedBodyApartFromOthers) {
  const std::string type = "multipart/form-data; boundary=abc";
  const std::vector<std::string> bodies = {
      "",
      "\r",
      "\r\n",
      "\r\n-",
      "\r\n--",
      "\r\n--ab",
      "--ab",
      "-",
      "--",
      "--abc",
      "--abc--",
      "--abc\r\nx",
      "--abc\r\n\r\n--abc",
      "--abc\r\n\r\n--abcd",
      "x--abc",
      "x\r\n--abc",
      "x\r\r\n--abc",
      "x\r\n\r\n--abc",
      "x\n--abc",
      "x\r\n--abC",
      "x\r\n--ab\r\n--abc",
  };
  for (size_t i = 0; i < bodies.size(); ++i) {
    for (size_t j = 0; j < bodies.size(); ++j) {
      const auto part = Differ({.content_type = type, .body = bodies[i]},
                               {.content_type = type, .body = bodies[j]});
      EXPECT_EQ(part.has_value(), i != j) << i << " " << j;
    }
  }
}

// The same as BoundaryRemover, on the whole body at once.
std::vector<std::string> SplitAtDelimiters(const std::string& body, const std::string& boundary) {
  std::vector<std::string> pieces(1);
  const std::string delimiter = "\r\n--" + boundary;
  for (size_t i = 0; i < body.size();) {
    if (i == 0 && body.compare(0, delimiter.size() - 2, delimiter, 2) == 0) {
      pieces.emplace_back();
      i += delimiter.size() - 2;
    } else if (body.compare(i, delimiter.size(), delimiter) == 0) {
      pieces.emplace_back();
      i += delimiter.size();
    } else {
      pieces.back().push_back(body[i++]);
    }
  }
  return pieces;
}

TEST(BoundaryRemover, FindsTheDelimitersHoweverTheBodyIsCut) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  const std::string boundary = "-a-";
  for (int round = 0; round < 3000; ++round) {
    std::string body;
    const size_t tokens = random() % 20;
    for (size_t i = 0; i < tokens; ++i) {
      const char* const kTokens[] = {"\r",   "\n",     "-",  "a",         "b",
                                     "\r\n", "\r\n--", "--", "\r\n---a-", "---a-"};
      body += kTokens[random() % std::size(kTokens)];
    }
    BoundaryRemover remover(boundary);
    std::vector<std::string> pieces(1);
    const auto bytes = [&](std::string_view part) { pieces.back().append(part); };
    for (size_t at = 0; at < body.size();) {
      const size_t size = std::min<size_t>(1 + random() % 5, body.size() - at);
      remover.Update(std::string_view(body).substr(at, size), bytes,
                     [&] { pieces.emplace_back(); });
      at += size;
    }
    remover.Finish(bytes);
    ASSERT_EQ(pieces, SplitAtDelimiters(body, boundary)) << testing::PrintToString(body);
  }
}

TEST(FindBoundary, ReadsTheParameter) {
  EXPECT_EQ(FindBoundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(FindBoundary("MULTIPART/mixed ;charset=x ; BOUNDARY=\"a b\""), "a b");
  EXPECT_EQ(FindBoundary("multipart/form-data;boundary=" + std::string(70, 'x')),
            std::string(70, 'x'));
  EXPECT_EQ(FindBoundary("multipart/form-data;boundary=" + std::string(71, 'x')), std::nullopt);
  EXPECT_EQ(FindBoundary("multipart/form-data;boundary=\"ends in space \""), std::nullopt);
  EXPECT_EQ(FindBoundary("multipart/form-data; boundary=abc; broken"), std::nullopt);
  EXPECT_EQ(FindBoundary(""), std::nullopt);
}

// --- JSON ---

class JsonFingerprint : public ::testing::Test {
 protected:
  // Of a body that is there at once.
  Fingerprint Of(const TestRequest& request) {
    Fingerprinter fingerprinter(request.method, request.target, request.content_type,
                                {&rules_, &budget_});
    return fingerprinter.Finish(request.body);
  }
  Fingerprint InPieces(const TestRequest& request, std::optional<uint64_t> length,
                       std::mt19937_64& random) {
    Fingerprinter fingerprinter(request.method, request.target, request.content_type,
                                {&rules_, &budget_});
    EXPECT_TRUE(fingerprinter.Expect(length));
    for (size_t at = 0; at < request.body.size();) {
      const size_t bytes = std::min<size_t>(random() % 50, request.body.size() - at);
      fingerprinter.Update(std::string_view(request.body).substr(at, bytes));
      at += bytes;
    }
    return fingerprinter.Finish();
  }
  bool AreSame(const std::string& a, const std::string& b) {
    return Of({.body = a}).digest == Of({.body = b}).digest;
  }

  JsonRules rules_{.ignored = IgnoredMembers({{"user"}}), .max_bytes = 200};
  MemoryBudget budget_{size_t{1} << 20};
};

TEST_F(JsonFingerprint, ComparesWhatTheBodySays) {
  EXPECT_TRUE(AreSame(R"({"a":1,"b":"x"})", "{ \"b\": \"\\u0078\",\n\"a\": 1.0 }"));
  EXPECT_TRUE(AreSame(R"({"a":1,"user":"x"})", R"({"user":["y"],"a":1})"));
  EXPECT_TRUE(AreSame(R"({"a":1,"user":"x"})", R"({"a":1})"));
  EXPECT_FALSE(AreSame(R"({"a":1})", R"({"a":2})"));
  EXPECT_FALSE(AreSame(R"({"a":1})", R"({"a":"1"})"));
  EXPECT_FALSE(AreSame(R"({"a":9007199254740993})", R"({"a":9007199254740992})"));
  EXPECT_EQ(FindDifference(Of({.body = "[1]"}), Of({.body = "[2]"})), RequestPart::kBody);
}

TEST_F(JsonFingerprint, IsForMediaTypesOfJson) {
  for (const char* type : {"application/json", "Application/JSON; charset=utf-8",
                           "application/vnd.api+json", "application/problem+JSON"}) {
    EXPECT_EQ(Of({.content_type = type, .body = "[1]"}).digest,
              Of({.content_type = type, .body = "[ 1 ]"}).digest)
        << type;
  }
  for (const char* type : {"", "text/plain", "application/jsonl", "application/x-ndjson", "+json",
                           "application/json-seq", "multipart/form-data; boundary=x"}) {
    EXPECT_NE(Of({.content_type = type, .body = "[1]"}).digest,
              Of({.content_type = type, .body = "[ 1 ]"}).digest)
        << type;
    EXPECT_EQ(Of({.content_type = type, .body = "[1]"}).digest,
              outrigger::idempotency::Of({.content_type = type, .body = "[1]"}).digest)
        << type;
  }
}

TEST_F(JsonFingerprint, NeverEqualsThatOfExactBytes) {
  const TestRequest request{.body = R"({"a":1})"};  // its own form
  EXPECT_NE(Of(request).digest, outrigger::idempotency::Of(request).digest);
}

TEST_F(JsonFingerprint, IsThatOfTheBytesWhereThereIsNoForm) {
  for (const std::string& body :
       std::vector<std::string>{"", "x", "[1", R"({"a":1,"a":1})", "[9007199254740993]",
                                std::string(300, ' ') + "1", "\"" + std::string(300, 'x') + "\""}) {
    EXPECT_EQ(Of({.body = body}).digest, outrigger::idempotency::Of({.body = body}).digest) << body;
  }
}

TEST_F(JsonFingerprint, DoesNotDependOnHowTheBodyArrives) {
  const uint64_t seed = std::random_device{}();
  SCOPED_TRACE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    // Of every size about the largest that is kept.
    TestRequest request{.body = "[ \"" + std::string(random() % 250, 'x') + "\" ]"};
    if (random() % 4 == 0) request.body.back() = 'x';
    const Sha256::Value expected = Of(request).digest;
    ASSERT_EQ(InPieces(request, std::nullopt, random).digest, expected) << request.body;
    ASSERT_EQ(InPieces(request, request.body.size(), random).digest, expected) << request.body;
  }
  EXPECT_EQ(budget_.used_bytes(), 0u);
}

TEST_F(JsonFingerprint, ChargesItsCopyBeforeTheFirstByte) {
  Fingerprinter known("POST", "/", "application/json", {&rules_, &budget_});
  ASSERT_TRUE(known.Expect(100));
  EXPECT_EQ(budget_.used_bytes(), 100u);
  Fingerprinter unknown("POST", "/", "application/json", {&rules_, &budget_});
  ASSERT_TRUE(unknown.Expect(std::nullopt));
  EXPECT_EQ(budget_.used_bytes(), 300u);
  Fingerprinter too_large("POST", "/", "application/json", {&rules_, &budget_});
  ASSERT_TRUE(too_large.Expect(201));
  Fingerprinter other("POST", "/", "text/plain", {&rules_, &budget_});
  ASSERT_TRUE(other.Expect(100));
  EXPECT_EQ(budget_.used_bytes(), 300u);

  known.Update(std::string(100, ' '));
  known.Finish();
  EXPECT_EQ(budget_.used_bytes(), 200u);
  // It turns out to be too large to be kept.
  unknown.Update(std::string(201, ' '));
  EXPECT_EQ(budget_.used_bytes(), 0u);
}

TEST_F(JsonFingerprint, SaysWhenThereIsNoMemoryForTheCopy) {
  budget_.Charge(budget_.limit_bytes() / 100 * 95);
  const size_t used = budget_.used_bytes();
  Fingerprinter json("POST", "/", "application/json", {&rules_, &budget_});
  EXPECT_FALSE(json.Expect(200));
  Fingerprinter text("POST", "/", "text/plain", {&rules_, &budget_});
  EXPECT_TRUE(text.Expect(200));
  EXPECT_EQ(budget_.used_bytes(), used);
  budget_.Release(used);
}

}  // namespace
}  // namespace outrigger::idempotency
