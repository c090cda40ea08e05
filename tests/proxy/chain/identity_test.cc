#include "proxy/chain/identity.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/chain/http_date.h"
#include "proxy/log/hash.h"
#include "tests/support/fake_loop.h"

namespace outrigger::chain {
namespace {

constexpr std::string_view kTraceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

bool IsLowerHex(std::string_view text) {
  return text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

class IdentityTest : public testing::Test {
 protected:
  std::string_view RequestId(std::string_view value) {
    http::HeaderList headers;
    headers.Add("X-Request-Id", value);
    return identity_.RequestId(headers, arena_);
  }
  TraceContext Trace(std::string_view value) {
    http::HeaderList headers;
    headers.Add("traceparent", value);
    return identity_.Trace(headers, arena_);
  }

  Arena arena_;
  Random random_{1};
  IdentityMaker identity_{random_};
};

TEST_F(IdentityTest, MakesARequestIdWhenThereIsNone) {
  const http::HeaderList headers;
  std::set<std::string_view> ids;
  for (int i = 0; i < 100; ++i) ids.insert(identity_.RequestId(headers, arena_));
  EXPECT_EQ(ids.size(), 100u);
  for (std::string_view id : ids) {
    EXPECT_EQ(id.size(), 32u);
    EXPECT_TRUE(IsLowerHex(id)) << id;
  }
}

TEST_F(IdentityTest, KeepsTheRequestIdOfTheCallerWhenItIsVisibleAscii) {
  const std::string longest(128, 'x');
  for (std::string_view id : {"a", "7f0c-11", "req_!#$%&'()*+,/:;<=>?@[]^`{|}~", longest.c_str()}) {
    EXPECT_EQ(RequestId(id), id);
  }
  const std::string too_long(129, 'x');
  for (std::string_view id :
       {std::string_view(""), std::string_view("a b"), std::string_view("a\tb"),
        std::string_view("a\"b"), std::string_view("a\\b"), std::string_view("caf\xc3\xa9"),
        std::string_view("a\x7f"), std::string_view("a\x01"), std::string_view("a\0b", 3),
        std::string_view(too_long)}) {
    const std::string_view made = RequestId(id);
    EXPECT_NE(made, id);
    EXPECT_EQ(made.size(), 32u);
  }
}

TEST_F(IdentityTest, ContinuesATraceWithASpanOfItsOwn) {
  const TraceContext trace = Trace(kTraceparent);
  ASSERT_EQ(trace.traceparent.size(), kTraceparent.size());
  EXPECT_EQ(trace.traceparent.substr(0, 36), kTraceparent.substr(0, 36));
  EXPECT_NE(trace.traceparent.substr(36, 16), kTraceparent.substr(36, 16));
  EXPECT_TRUE(IsLowerHex(trace.traceparent.substr(36, 16)));
  EXPECT_EQ(trace.traceparent.substr(52), "-01");
  EXPECT_EQ(trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
  // A view into the other, so that copying one with its offset keeps both.
  EXPECT_EQ(trace.trace_id.data(), trace.traceparent.data() + 3);
}

TEST_F(IdentityTest, StartsATraceWhenTheCallersIsMissingOrWrong) {
  const std::string good(kTraceparent);
  const std::string bad[] = {
      "",
      "00",
      good + "x",
      good + "-extra",
      good.substr(0, 54),
      "01" + good.substr(2),
      "ff" + good.substr(2),
      "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
      "00-00000000000000000000000000000000-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
      "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
      "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
      "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
      "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  };
  std::set<std::string> ids;
  for (const std::string& text : bad) {
    SCOPED_TRACE(text);
    const TraceContext trace = Trace(text);
    ASSERT_EQ(trace.traceparent.size(), kTraceparent.size());
    EXPECT_TRUE(trace.traceparent.starts_with("00-"));
    EXPECT_TRUE(trace.traceparent.ends_with("-00"));
    EXPECT_NE(trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
    // What it made itself it would accept.
    const TraceContext next = Trace(trace.traceparent);
    EXPECT_EQ(next.trace_id, trace.trace_id);
    ids.emplace(trace.trace_id);
  }
  EXPECT_EQ(ids.size(), std::size(bad));
}

TEST_F(IdentityTest, AccountsToAHeaderThenToAHashThenToAnonymous) {
  config::TenantConfig config;
  config.header = "x-tenant";
  http::Request request;
  EXPECT_EQ(identity_.Tenant(request, config, arena_), "anonymous");
  EXPECT_FALSE(request.is_tenant_unverified);
  request.headers.Add("Authorization", "Bearer secret");
  const std::string_view hashed = identity_.Tenant(request, config, arena_);
  EXPECT_TRUE(request.is_tenant_unverified) << "anybody can make up another";
  EXPECT_EQ(hashed, log::HashForLog("Bearer secret"));
  EXPECT_EQ(hashed.find("secret"), std::string_view::npos);
  request.headers.Add("X-Tenant", "blue");
  EXPECT_EQ(identity_.Tenant(request, config, arena_), "blue");
  EXPECT_FALSE(request.is_tenant_unverified);
  // A header that nobody declared as trusted says nothing.
  EXPECT_EQ(identity_.Tenant(request, config::TenantConfig{}, arena_), hashed);
  config::TenantConfig nobody;
  nobody.from.clear();
  EXPECT_EQ(identity_.Tenant(request, nobody, arena_), "anonymous");
}

TEST_F(IdentityTest, AsksTheSourcesInTheOrderOfTheConfiguration) {
  using config::TenantSource;
  http::Request request;
  request.headers.Add("Authorization", "Bearer secret");
  request.peer_identity = "spiffe://example.org/sa/web";
  const std::string hashed(log::HashForLog("Bearer secret"));
  EXPECT_EQ(identity_.Tenant(request, {}, arena_), "spiffe://example.org/sa/web");
  EXPECT_FALSE(request.is_tenant_unverified);
  const auto from = [this, &request](std::vector<TenantSource> sources) {
    config::TenantConfig config;
    config.from = std::move(sources);
    return std::string(identity_.Tenant(request, config, arena_));
  };
  EXPECT_EQ(from({TenantSource::kAuthorization, TenantSource::kMtls}), hashed);
  EXPECT_EQ(from({TenantSource::kAuthorization}), hashed);
  EXPECT_EQ(from({TenantSource::kMtls}), "spiffe://example.org/sa/web");
  request.peer_identity = {};
  EXPECT_EQ(from({TenantSource::kMtls, TenantSource::kAuthorization}), hashed);
  EXPECT_EQ(from({TenantSource::kMtls}), "anonymous");
}

TEST_F(IdentityTest, AnEmptyTenantHeaderOrCredentialIsNone) {
  config::TenantConfig config;
  config.header = "x-tenant";
  http::Request request;
  request.headers.Add("x-tenant", "");
  request.headers.Add("authorization", "");
  EXPECT_EQ(identity_.Tenant(request, config, arena_), "anonymous");
}

TEST(HttpDate, FollowsTheWallClock) {
  FakeLoop loop;
  Arena arena;
  const std::string first(HttpDateNow(loop, arena));
  absl::Time read;
  std::string error;
  ASSERT_TRUE(absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", first, &read, &error)) << error;
  EXPECT_EQ(read, absl::FromUnixSeconds(absl::ToUnixSeconds(loop.WallNow())));
  EXPECT_EQ(first.size(), std::string_view("Fri, 20 Nov 2026 14:00:00 GMT").size());
  EXPECT_EQ(HttpDateNow(loop, arena), first);
  loop.Advance(absl::Seconds(1));
  EXPECT_NE(HttpDateNow(loop, arena), first);
}

TEST(ClientAddress, IsTheEntryOfTheOutermostTrustedProxy) {
  struct Row {
    std::vector<const char*> lines;
    int64_t hops;
    const char* client;
  };
  for (const Row& row : std::vector<Row>{
           {{}, 0, "10.0.0.9"},
           {{}, 2, "10.0.0.9"},
           {{"1.1.1.1"}, 0, "10.0.0.9"},  // nobody in front is to be believed
           {{"1.1.1.1"}, 1, "1.1.1.1"},
           {{"6.6.6.6, 1.1.1.1"}, 1, "1.1.1.1"},
           {{"6.6.6.6, 1.1.1.1 ,2.2.2.2"}, 2, "1.1.1.1"},
           {{"6.6.6.6, 1.1.1.1", "2.2.2.2"}, 2, "1.1.1.1"},  // lines are one list
           {{"6.6.6.6", "1.1.1.1,2.2.2.2"}, 3, "6.6.6.6"},
           {{"1.1.1.1, 2.2.2.2"}, 16, "1.1.1.1"},
           {{"2001:db8::1, [2001:db8::2]:443, 3.3.3.3:80"}, 1, "3.3.3.3"},
           {{"2001:db8::1, [2001:db8::2]:443, 3.3.3.3:80"}, 2, "2001:db8::2"},
           {{"2001:db8::1, [2001:db8::2]:443, 3.3.3.3:80"}, 3, "2001:db8::1"},
           {{"1.1.1.1, unknown, 2.2.2.2"}, 3, "2.2.2.2"},
           {{"evil\\\"name"}, 1, "10.0.0.9"},
           {{""}, 1, "10.0.0.9"},
           {{"1.1.1.1,"}, 1, "10.0.0.9"},
           {{"[::1"}, 1, "10.0.0.9"},
       }) {
    http::HeaderList headers;
    for (const char* line : row.lines) headers.Add("X-Forwarded-For", line);
    headers.Add("X-Other", "9.9.9.9");
    EXPECT_EQ(ClientAddress(headers, "10.0.0.9", row.hops), row.client);
  }
}

}  // namespace
}  // namespace outrigger::chain
