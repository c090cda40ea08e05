#include "proxy/http2/field_block.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

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
      testing::ElementsAre(":status: 206", "content-length: 12345678901234567890", "ETag: \"e\""));
}

TEST(FieldBlock, KeepsWhatIsNotSaidAgainOutOfThePeersTable) {
  FieldRepetition repetition;
  const auto indexed = [&](const std::string& id) {
    http::HeaderList headers;
    headers.Add("content-type", "application/json");
    headers.Add("x-request-id", id);
    FieldBlock block;
    EXPECT_TRUE(block.AddFields(headers));
    block.MarkVarying(repetition);
    std::vector<bool> is_indexed;
    for (size_t i = 0; i < block.size(); ++i) {
      is_indexed.push_back((block.data()[i].flags & NGHTTP2_NV_FLAG_NO_INDEX) == 0);
    }
    return is_indexed;
  };
  EXPECT_THAT(indexed("0001"), testing::ElementsAre(false, false));
  EXPECT_THAT(indexed("0002"), testing::ElementsAre(true, false));
  EXPECT_THAT(indexed("6b1e2f0c9d8a-0003"), testing::ElementsAre(true, false));
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
