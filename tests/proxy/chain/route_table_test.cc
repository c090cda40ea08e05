#include "proxy/chain/route_table.h"

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace outrigger::chain {
namespace {

struct Case {
  const char* pattern;
  const char* text;
  bool matches;
};

TEST(RouteTable, PrefixesEndAtASegment) {
  for (const Case& row : std::vector<Case>{
           {"/v1", "/v1", true},
           {"/v1", "/v1/", true},
           {"/v1", "/v1/chat", true},
           {"/v1", "/v1x", false},
           {"/v1", "/v", false},
           {"/v1", "/V1", false},
           {"/v1/", "/v1/chat", true},
           {"/v1/", "/v1", false},
           {"/", "/", true},
           {"/", "/anything/else", true},
           {"/", "*", false},
       }) {
    EXPECT_EQ(MatchesPrefix(row.pattern, row.text), row.matches) << row.pattern << " " << row.text;
  }
}

TEST(RouteTable, TemplatesTakeOneSegmentForEachWildcard) {
  for (const Case& row : std::vector<Case>{
           {"/v1/models/{model}", "/v1/models/llama", true},
           {"/v1/models/{model}", "/v1/models/", false},
           {"/v1/models/{model}", "/v1/models", false},
           {"/v1/models/{model}", "/v1/models/a/b", false},
           {"/v2/*/infer", "/v2/m/infer", true},
           {"/v2/*/infer", "/v2//infer", false},
           {"/v2/*/infer", "/v2/m/inferred", false},
           {"/v2/*/infer", "/v2/m/infer/", false},
           {"/{a}/{b}", "/x/y", true},
           {"/{a}/{b}", "/x", false},
           {"/{}", "/x", true},
           {"/{", "/{", true},
           {"/{", "/x", false},
           {"/a*", "/ab", false},
           {"/plain", "/plain", true},
           {"/", "/", true},
           {"/", "/x", false},
           {"/*", "*", false},
       }) {
    EXPECT_EQ(MatchesTemplate(row.pattern, row.text), row.matches)
        << row.pattern << " " << row.text;
  }
}

TEST(RouteTable, MediaTypesMatchWithoutParametersAndCase) {
  for (const Case& row : std::vector<Case>{
           {"application/json", "application/json", true},
           {"application/json", "Application/JSON; charset=utf-8", true},
           {"application/json", "application/json;charset=utf-8", true},
           {"application/json", "application/jsonl", false},
           {"application/json", "", false},
           {"text/*", "text/plain", true},
           {"text/*", "TEXT/event-stream ; x=y", true},
           {"text/*", "text/", false},
           {"text/*", "texture/plain", false},
           {"text/*", "text", false},
       }) {
    EXPECT_EQ(MatchesMediaType(row.pattern, row.text), row.matches)
        << row.pattern << " " << row.text;
  }
}

config::RouteConfig Route(config::RouteMatch match) {
  config::RouteConfig route;
  route.match = std::move(match);
  return route;
}

std::optional<size_t> Match(const RouteTable& table, std::string_view method,
                            std::string_view path) {
  http::Request request;
  request.method_name = method;
  request.path = path;
  return table.Match(request);
}

TEST(RouteTable, TheFirstRouteThatMatchesClaimsTheRequest) {
  config::RouteMatch chat, posts, all;
  chat.path = "/v1/chat/completions";
  posts.prefix = "/v1";
  posts.methods = {"POST", "PUT"};
  const std::vector<config::RouteConfig> routes = {Route(chat), Route(posts), Route(all)};
  const RouteTable table(routes);
  EXPECT_EQ(Match(table, "GET", "/v1/chat/completions"), 0u);
  EXPECT_EQ(Match(table, "POST", "/v1/embeddings"), 1u);
  EXPECT_EQ(Match(table, "post", "/v1/embeddings"), 2u);  // methods have a case
  EXPECT_EQ(Match(table, "GET", "/v1/embeddings"), 2u);
  EXPECT_EQ(Match(table, "OPTIONS", "*"), 2u);
}

TEST(RouteTable, SaysWhenNoRouteMatches) {
  config::RouteMatch chat;
  chat.path = "/v1/chat/completions";
  const std::vector<config::RouteConfig> routes = {Route(chat)};
  EXPECT_EQ(Match(RouteTable(routes), "GET", "/"), std::nullopt);
  const std::vector<config::RouteConfig> none;
  EXPECT_EQ(Match(RouteTable(none), "GET", "/"), std::nullopt);
}

TEST(RouteTable, EveryConditionMustHold) {
  config::RouteMatch match;
  match.path_template = "/v1/models/{model}";
  match.headers = {{"x-team", "blue"}, {"x-any", "*"}};
  match.content_type = {"application/json", "text/*"};
  const std::vector<config::RouteConfig> routes = {Route(match)};
  const RouteTable table(routes);
  struct Fields {
    const char* team;
    const char* any;
    const char* type;
    bool matches;
  };
  for (const Fields& row : std::vector<Fields>{
           {"blue", "x", "application/json", true},
           {"blue", "", "text/plain", true},
           {"red", "x", "application/json", false},
           {nullptr, "x", "application/json", false},
           {"blue", nullptr, "application/json", false},
           {"blue", "x", "image/png", false},
           {"blue", "x", nullptr, false},
       }) {
    http::Request request;
    request.method_name = "POST";
    request.path = "/v1/models/llama";
    if (row.team != nullptr) request.headers.Add("X-Team", row.team);
    if (row.any != nullptr) request.headers.Add("X-Any", row.any);
    if (row.type != nullptr) request.headers.Add("Content-Type", row.type);
    EXPECT_EQ(table.Match(request).has_value(), row.matches);
    request.path = "/v1/models";
    EXPECT_FALSE(table.Match(request).has_value());
  }
}

TEST(RouteTable, OneLineOfAHeaderIsEnough) {
  config::RouteMatch match;
  match.headers = {{"x-team", "blue"}};
  const std::vector<config::RouteConfig> routes = {Route(match)};
  const RouteTable table(routes);
  const auto matches = [&table](const std::vector<const char*>& lines) {
    http::Request request;
    request.path = "/";
    for (const char* line : lines) request.headers.Add("X-Team", line);
    return table.Match(request).has_value();
  };
  EXPECT_TRUE(matches({"red", "blue"}));
  EXPECT_TRUE(matches({"blue", "red"}));
  EXPECT_FALSE(matches({"red", "green"}));
  EXPECT_FALSE(matches({"red, blue"}));
}

}  // namespace
}  // namespace outrigger::chain
