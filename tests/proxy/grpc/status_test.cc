#include "proxy/grpc/status.h"

#include <gtest/gtest.h>

#include <string>

namespace outrigger::grpc {
namespace {

TEST(GrpcStatus, IsReadAsDigits) {
  for (int code = 0; code < 100; ++code) EXPECT_EQ(ParseStatus(std::to_string(code)), code);
  EXPECT_EQ(ParseStatus("000"), kOk);
  EXPECT_EQ(ParseStatus("999999"), 999'999);
}

TEST(GrpcStatus, WhatIsNoNumberIsUnknown) {
  for (const std::string_view text :
       {"", " ", "-1", "+0", "0x0", "OK", "1.0", "0 ", "1000000", "99999999999999999999", "\xff"}) {
    EXPECT_EQ(ParseStatus(text), kUnknown) << text;
  }
}

TEST(GrpcStatus, IsFoundAmongFields) {
  http::HeaderList fields;
  EXPECT_EQ(StatusIn(fields), std::nullopt);
  fields.Add("grpc-message", "no");
  EXPECT_EQ(StatusIn(fields), std::nullopt);
  fields.Add("Grpc-Status", "14");
  EXPECT_EQ(StatusIn(fields), kUnavailable);
}

TEST(GrpcStatus, SaysTheSameAsAStatusOfHttp) {
  const struct {
    int code;
    std::string_view name;
    int http_status;
  } kCases[] = {
      {0, "OK", 200},
      {1, "CANCELLED", 499},
      {2, "UNKNOWN", 500},
      {3, "INVALID_ARGUMENT", 400},
      {4, "DEADLINE_EXCEEDED", 504},
      {5, "NOT_FOUND", 404},
      {6, "ALREADY_EXISTS", 409},
      {7, "PERMISSION_DENIED", 403},
      {8, "RESOURCE_EXHAUSTED", 429},
      {9, "FAILED_PRECONDITION", 400},
      {10, "ABORTED", 409},
      {11, "OUT_OF_RANGE", 400},
      {12, "UNIMPLEMENTED", 501},
      {13, "INTERNAL", 500},
      {14, "UNAVAILABLE", 503},
      {15, "DATA_LOSS", 500},
      {16, "UNAUTHENTICATED", 401},
      {17, "", 500},
      {-1, "", 500},
      {999'999, "", 500},
  };
  for (const auto& c : kCases) {
    EXPECT_EQ(CodeName(c.code), c.name) << c.code;
    EXPECT_EQ(HttpStatusOf(c.code), c.http_status) << c.code;
  }
}

}  // namespace
}  // namespace outrigger::grpc
