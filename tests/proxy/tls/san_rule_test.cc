#include "proxy/tls/san_rule.h"

#include <gtest/gtest.h>

namespace outrigger::tls {
namespace {

TEST(SanRule, MatchesTheNamesItWasMadeFor) {
  struct Case {
    std::string rule;
    SubjectNames names;
    bool matches;
  };
  const Case cases[] = {
      {"spiffe://a.org/sa/web", {{"spiffe://a.org/sa/web"}, {}}, true},
      {"spiffe://a.org/sa/web", {{"spiffe://a.org/sa/webber"}, {}}, false},
      {"spiffe://a.org/sa/web", {{"spiffe://a.org/sa/web/x"}, {}}, false},
      {"spiffe://a.org/sa/web", {{"spiffe://A.org/sa/web"}, {}}, false},
      {"spiffe://a.org/sa/web", {{}, {"spiffe://a.org/sa/web"}}, false},
      {"spiffe://a.org/ns/prod/*", {{"spiffe://a.org/ns/prod/sa/x"}, {}}, true},
      {"spiffe://a.org/ns/prod/*", {{"spiffe://a.org/ns/prod/"}, {}}, false},
      {"spiffe://a.org/ns/prod/*", {{"spiffe://a.org/ns/prod"}, {}}, false},
      {"spiffe://a.org/ns/prod/*", {{"spiffe://a.org/ns/production/x"}, {}}, false},
      {"spiffe://a.org/*", {{"spiffe://a.org/anything"}, {}}, true},
      {"spiffe://a.org/*", {{"spiffe://a.org.evil/anything"}, {}}, false},
      {"spiffe://a.org/*", {{"spiffe://b.org/a.org/x"}, {}}, false},
      {"spiffe://a.org/x", {{"spiffe://b.org/x", "spiffe://a.org/x"}, {}}, true},
      {"dns:web.example", {{}, {"web.example"}}, true},
      {"dns:web.example", {{}, {"WEB.Example"}}, true},
      {"dns:web.example", {{}, {"a.web.example"}}, false},
      {"dns:web.example", {{"dns:web.example"}, {}}, false},
      {"dns:*.example", {{}, {"web.example"}}, true},
      {"dns:*.example", {{}, {"a.web.example"}}, false},
      {"dns:*.example", {{}, {".example"}}, false},
      {"dns:*.example", {{}, {"example"}}, false},
      {"dns:*.example", {{}, {"*.example"}}, true},
      {"https://a.org/x", {{"https://a.org/x"}, {}}, true},
  };
  for (const Case& c : cases) {
    const absl::StatusOr<SanRule> rule = SanRule::Parse(c.rule);
    ASSERT_TRUE(rule.ok()) << c.rule;
    EXPECT_EQ(rule->Matches(c.names), c.matches)
        << c.rule << " on " << (c.names.uris.empty() ? c.names.dns : c.names.uris).front();
    EXPECT_FALSE(rule->Matches({}));
  }
}

TEST(SanRule, RefusesWhatCouldNeverMatchAsMeant) {
  for (const char* text :
       {"", "web", "dns:", "dns:*", "dns:*.", "dns:a.*", "dns:a/b", "spiffe://", "spiffe:///x",
        "spiffe://*", "spiffe://*/x", "spiffe://a.org/*/x", "spiffe://a.org/x*", "://a", "dns:a b",
        "spiffe://a.org/x\n", "spiffe://a.org/\"x", "dns:a,b", "spiffe://a.org/x;y"}) {
    EXPECT_FALSE(SanRule::Parse(text).ok()) << text;
  }
}

TEST(SubjectNames, IdentityIsTheOnlyUriOrTheFirstHostName) {
  EXPECT_EQ(SubjectNames{}.Identity(), "");
  EXPECT_EQ((SubjectNames{{"spiffe://a/b"}, {"x"}}).Identity(), "spiffe://a/b");
  EXPECT_EQ((SubjectNames{{}, {"Web.Example", "other"}}).Identity(), "dns:web.example");
  // An SVID has one URI; which of several would be meant is anybody's guess.
  EXPECT_EQ((SubjectNames{{"spiffe://a/b", "spiffe://a/c"}, {"x"}}).Identity(), "");
}

}  // namespace
}  // namespace outrigger::tls
