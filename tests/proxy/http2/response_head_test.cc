// Which heads of answers are taken, field by field.

#include "proxy/http2/response_head.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace outrigger::http2 {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

// Whether such a head is accepted.
bool Takes(const Fields& fields, ResponseHead* out = nullptr) {
  static Arena arena;
  ResponseHeadReader reader;
  ResponseHead head;
  reader.Begin();
  for (const auto& [name, value] : fields) {
    if (!reader.Add(name, value, arena, head)) return false;
  }
  if (!reader.Finish(head)) return false;
  if (out != nullptr) *out = std::move(head);
  return true;
}

TEST(ResponseHead, KeepsStatusAndFieldsInOrder) {
  ResponseHead head;
  ASSERT_TRUE(Takes({{":status", "204"}, {"a", "1"}, {"b", ""}, {"a", "2"}}, &head));
  EXPECT_EQ(head.status, 204);
  std::string seen;
  for (const http::HeaderField& field : head.headers) {
    seen.append(field.name).append("=").append(field.value).append(";");
  }
  EXPECT_EQ(seen, "a=1;b=;a=2;");
}

TEST(ResponseHead, RefusesWhatHttp1WouldReadOtherwise) {
  const std::pair<std::string, std::string> ok{":status", "200"};
  EXPECT_FALSE(Takes({}));
  EXPECT_FALSE(Takes({{"a", "b"}}));
  for (const char* status : {"", "20", "2000", "2 0", "099", "600", "101", "-20", "20x"}) {
    EXPECT_FALSE(Takes({{":status", status}})) << status;
  }
  EXPECT_FALSE(Takes({ok, ok}));
  EXPECT_FALSE(Takes({{"a", "b"}, ok}));
  EXPECT_FALSE(Takes({ok, {":path", "/"}}));
  for (const char* name : {"", "a b", "a:", "a\r\nb", "connection", "keep-alive",
                           "proxy-connection", "transfer-encoding", "upgrade"}) {
    EXPECT_FALSE(Takes({ok, {name, "x"}})) << name;
  }
  for (const std::string& value : {std::string("a\rb"), std::string("a\nb"), std::string("a\0b", 3),
                                   std::string(" a"), std::string("a\t"), std::string("\x7f")}) {
    EXPECT_FALSE(Takes({ok, {"x", value}})) << value;
  }
  EXPECT_TRUE(Takes({ok, {"content-length", "5"}}));
  EXPECT_FALSE(Takes({ok, {"content-length", "+5"}}));
  EXPECT_FALSE(Takes({ok, {"content-length", "5"}, {"content-length", "5"}}));
}

TEST(ResponseHead, TakesAGrpcMessageWithBlanksAroundIt) {
  ResponseHead head;
  ASSERT_TRUE(
      Takes({{":status", "200"}, {"grpc-status", "13"}, {"grpc-message", " failed: "}}, &head));
  EXPECT_EQ(head.headers.Get("grpc-message"), "failed:");
  ASSERT_TRUE(Takes({{":status", "200"}, {"grpc-message", " "}}, &head));
  EXPECT_EQ(head.headers.Get("grpc-message"), "");
}

TEST(ResponseHead, LimitsOneHeadAndAllOfThem) {
  constexpr http1::HeadLimits kLimits;
  Fields many{{":status", "200"}};
  for (size_t i = 0; i < kLimits.max_fields; ++i) many.emplace_back("a", "b");
  EXPECT_TRUE(Takes(many));
  many.emplace_back("a", "b");
  EXPECT_FALSE(Takes(many));
  EXPECT_FALSE(Takes({{":status", "200"}, {"a", std::string(kLimits.max_head_bytes, 'x')}}));

  Arena arena;
  ResponseHeadReader reader;
  const std::string half(kLimits.max_head_bytes / 2, 'x');
  size_t taken = 0;
  for (bool is_good = true; is_good; ++taken) {
    ResponseHead head;
    reader.Begin();
    is_good = reader.Add(":status", "103", arena, head) && reader.Add("a", half, arena, head);
    ASSERT_LT(taken, size_t{100});
  }
  EXPECT_GT(taken * half.size(), ResponseHeadReader::kMaxBytesOfAll / 2);
}

}  // namespace
}  // namespace outrigger::http2
