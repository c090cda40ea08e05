#include "proxy/grpc/call.h"

#include <gtest/gtest.h>

namespace outrigger::grpc {
namespace {

TEST(GrpcCall, IsToldByItsMediaType) {
  for (const std::string_view type :
       {"application/grpc", "application/grpc+proto", "application/grpc+json", "Application/GRPC",
        "application/grpc; charset=utf-8", "application/grpc+proto;a=b", " application/grpc\t"}) {
    EXPECT_TRUE(IsGrpcMediaType(type)) << type;
  }
  for (const std::string_view type :
       {"", "application/grp", "application/grpc-web", "application/grpc-web+proto",
        "application/grpcx", "application/json", "text/application/grpc", "application"}) {
    EXPECT_FALSE(IsGrpcMediaType(type)) << type;
  }
}

TEST(GrpcCall, IsAPost) {
  http::HeaderList headers;
  EXPECT_FALSE(IsCall(http::Method::kPost, headers));
  headers.Add("Content-Type", "application/grpc");
  EXPECT_TRUE(IsCall(http::Method::kPost, headers));
  EXPECT_FALSE(IsCall(http::Method::kGet, headers));
  EXPECT_FALSE(IsCall(http::Method::kPut, headers));
}

}  // namespace
}  // namespace outrigger::grpc
