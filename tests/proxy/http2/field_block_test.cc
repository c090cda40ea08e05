#include "proxy/http2/field_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/arena.h"
#include "proxy/http1/field_line.h"
#include "proxy/http2/kept_field.h"

namespace outrigger::http2 {
namespace {

std::vector<std::string> Lines(const FieldBlock& block) {
  std::vector<std::string> lines;
  for (size_t i = 0; i < block.size(); ++i) {
    const nghttp2_nv& field = block.data()[i];
    lines.push_back(std::string(reinterpret_cast<char*>(field.name), field.namelen) + ": " +
                    std::string(reinterpret_cast<char*>(field.value), field.valuelen));
  }
  return lines;
}

TEST(FieldBlock, LeavesOutWhatEndsAtThisHopAndSaysTheLengthAnew) {
  http::HeaderList headers;
  headers.Add("Connection", "X-Private, close");
  headers.Add("X-Private", "1");
  headers.Add("Keep-Alive", "timeout=5");
  headers.Add("Transfer-Encoding", "chunked");
  headers.Add("Upgrade", "h2c");
  headers.Add("Content-Length", "7");
  headers.Add("ETag", "\"e\"");
  FieldBlock block;
  block.AddStatus(206);
  block.AddContentLength(12345678901234567890U);
  ASSERT_TRUE(block.AddFields(headers));
  EXPECT_THAT(
      Lines(block),
      testing::ElementsAre(":status: 206", "content-length: 12345678901234567890", "etag: \"e\""));
}

TEST(FieldBlock, HasNamesInLowerCaseOrSaysThatTheyAreNot) {
  http::HeaderList headers;
  for (int i = 0; i < 40; ++i) headers.Add("X-Some-Longer-Name-[^_`@AZaz]", "Value");
  FieldBlock block;
  ASSERT_FALSE(block.AddFields(headers));  // brackets

  headers.Clear();
  for (int i = 0; i < 40; ++i) headers.Add("X-Some-Longer-Name-^_`AZaz|~", "Value");
  headers.Add("Z", "1");
  FieldBlock many;
  many.AddStatus(200);
  ASSERT_TRUE(many.AddFields(headers));
  FieldRepetition repetition;
  many.SetFlags(repetition, FieldBlock::Stays::kFieldsAndBlock);
  size_t lent = 0;
  for (size_t i = 0; i < many.size(); ++i) {
    const nghttp2_nv& field = many.data()[i];
    EXPECT_NE(field.flags & NGHTTP2_NV_FLAG_NO_COPY_VALUE, 0);
    if ((field.flags & NGHTTP2_NV_FLAG_NO_COPY_NAME) == 0) continue;
    ++lent;
    const std::string name(reinterpret_cast<char*>(field.name), field.namelen);
    EXPECT_EQ(name, i == 0 ? ":status" : "x-some-longer-name-^_`azaz|~");
  }
  EXPECT_GT(lent, 10u);
  EXPECT_LT(lent, 30u);

  // Of blocks that wait, nghttp2 keeps copies.
  FieldBlock waiting;
  ASSERT_TRUE(waiting.AddFields(headers));
  waiting.SetFlags(repetition, FieldBlock::Stays::kNothing);
  for (size_t i = 0; i < waiting.size(); ++i) {
    EXPECT_EQ(waiting.data()[i].flags & ~NGHTTP2_NV_FLAG_NO_INDEX, 0);
  }
}

TEST(FieldBlock, LendsWhatStaysWhenItsOwnNamesDoNot) {
  Arena arena;
  http::HeaderList headers;
  headers.Add(KeepField("x-received", "1", http::HeaderId::kOther, arena));
  headers.Add("X-Added", "2");
  FieldBlock block;
  ASSERT_TRUE(block.AddTrailers(headers));
  FieldRepetition repetition;
  block.SetFlags(repetition, FieldBlock::Stays::kFields);
  EXPECT_THAT(Lines(block), testing::ElementsAre("x-received: 1", "x-added: 2"));
  EXPECT_EQ(reinterpret_cast<const char*>(block.data()[0].name), headers.data()[0].name.data());
  const auto lent = [&](size_t i) {
    return block.data()[i].flags & (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
  };
  EXPECT_EQ(lent(0), NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE);
  EXPECT_EQ(lent(1), NGHTTP2_NV_FLAG_NO_COPY_VALUE);
}

TEST(KeptField, StandsAsHttp1WouldWriteIt) {
  Arena arena;
  const http::HeaderField first = KeepField("accept", "*/*", http::HeaderId::kAccept, arena);
  const http::HeaderField second = KeepField("x-empty", "", http::HeaderId::kOther, arena);
  EXPECT_EQ(first.name, "accept");
  EXPECT_EQ(first.value, "*/*");
  EXPECT_EQ(second.name, "x-empty");
  EXPECT_EQ(second.value, "");
  EXPECT_TRUE(first.is_checked && first.is_lower && second.is_checked && second.is_lower);
  EXPECT_EQ(std::string_view(first.name.data(), 24), "accept: */*\r\nx-empty: \r\n");
}

TEST(KeptField, IsOnlyMadeOfNamesInLowerCase) {
  for (const std::string_view name : {"te", "host", "accept", "content-type", "x-other", "x",
                                      "grpc-previous-rpc-attempts", "x-outrigger-replay"}) {
    EXPECT_TRUE(http1::IsLowerName(name, http::ClassifyHeader(name))) << name;
    for (size_t i = 0; i < name.size(); ++i) {
      if (name[i] == '-') continue;
      std::string spelled(name);
      spelled[i] = static_cast<char>(spelled[i] - 0x20);
      EXPECT_FALSE(http1::IsLowerName(spelled, http::ClassifyHeader(spelled))) << spelled;
    }
  }
  EXPECT_FALSE(http1::IsLowerName("", http::HeaderId::kOther));
  EXPECT_FALSE(http1::IsLowerName("x y", http::HeaderId::kOther));
}

TEST(FieldBlock, KeepsWhatIsNotSaidAgainOutOfThePeersTable) {
  FieldRepetition repetition;
  const auto indexed = [&](const std::string& id) {
    http::HeaderList headers;
    headers.Add("content-type", "application/json");
    headers.Add("x-request-id", id);
    FieldBlock block;
    EXPECT_TRUE(block.AddFields(headers));
    block.SetFlags(repetition, FieldBlock::Stays::kNothing);
    std::vector<bool> is_indexed;
    for (size_t i = 0; i < block.size(); ++i) {
      is_indexed.push_back((block.data()[i].flags & NGHTTP2_NV_FLAG_NO_INDEX) == 0);
    }
    return is_indexed;
  };
  EXPECT_THAT(indexed("0001"), testing::ElementsAre(false, false));
  // Once for its name, and again when that may have left the table.
  EXPECT_THAT(indexed("0002"), testing::ElementsAre(true, true));
  for (int i = 1; i < FieldRepetition::kRefresh; ++i) {
    EXPECT_THAT(indexed(std::to_string(i)), testing::ElementsAre(true, false)) << i;
  }
  EXPECT_THAT(indexed("0003"), testing::ElementsAre(true, true));
  EXPECT_THAT(indexed("6b1e2f0c9d8a-0004"), testing::ElementsAre(true, false));
  EXPECT_THAT(indexed("6b1e2f0c9d8a-0004"), testing::ElementsAre(true, true));
}

TEST(FieldBlock, RefusesWhatCouldPassForAnotherField) {
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"x", "a\r\nb: c"},
                                                        {"x", std::string("a\0b", 3)},
                                                        {"x", " a"},
                                                        {"x", "a\t"},
                                                        {"x y", "a"},
                                                        {":status", "200"},
                                                        {"", "a"},
                                                        {"x\n", "a"}}) {
    http::HeaderList headers;
    headers.Add(name, value);
    FieldBlock block;
    EXPECT_FALSE(block.AddFields(headers)) << name << ": " << value;
    FieldBlock trailers;
    EXPECT_FALSE(trailers.AddTrailers(headers)) << name << ": " << value;
  }
}

}  // namespace
}  // namespace outrigger::http2
