#include "proxy/injector/trust_bundle.h"

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proxy/tls/self_signed.h"

namespace outrigger::injector {
namespace {

using inject::Json;

const absl::Time kNow = absl::FromUnixSeconds(1'750'000'000);

std::string Certificate(const std::string& replica, absl::Duration age = absl::ZeroDuration(),
                        absl::Duration lifetime = absl::Hours(1)) {
  absl::StatusOr<tls::SelfSigned> made = tls::MakeSelfSigned(
      {.name = replica, .dns = {"a.b.svc"}, .lifetime = lifetime, .now = kNow - age});
  EXPECT_TRUE(made.ok()) << made.status().message();
  return made.ok() ? made->pem : "";
}

std::string Changed(const std::string& present, const std::string& replica,
                    const std::vector<std::string>& own) {
  const TrustChange change{.replica = replica, .own = own, .now = kNow};
  const std::string changed = ChangeBundle(present, change);
  // Who looks again has nothing to do.
  EXPECT_EQ(ChangeBundle(changed, change), changed);
  return changed;
}

TEST(TrustBundle, ReplicasComeTogetherInIt) {
  const std::string one = Certificate("one");
  const std::string two = Certificate("two");
  EXPECT_EQ(Changed("", "one", {one}), one);
  EXPECT_EQ(Changed(one, "two", {two}), one + two);
  EXPECT_EQ(Changed(one + two, "one", {one}), one + two);
}

TEST(TrustBundle, ASuccessorComesBesideTheCertificateAndThenAlone) {
  const std::string old = Certificate("one");
  const std::string other = Certificate("two");
  const std::string next = Certificate("one");
  EXPECT_EQ(Changed(old + other, "one", {old, next}), old + other + next);
  EXPECT_EQ(Changed(old + other + next, "one", {next}), other + next);
}

TEST(TrustBundle, WhatHasEndedAndWhatIsNoCertificateGoes) {
  const std::string own = Certificate("one");
  const std::string ended = Certificate("two", absl::Hours(2));
  const std::string broken =
      "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n-----BEGIN CERTIFICATE-----\n";
  EXPECT_EQ(Changed("text\n" + ended + broken, "one", {own}), own);
}

TEST(TrustBundle, TheOldestGoBeyondTheLimit) {
  std::string present;
  const std::string own = Certificate("own");
  const std::string first = Certificate("first");
  present = own + first;
  std::string others;
  for (int i = 0; i < 62; ++i) others += Certificate(absl::StrCat("pod-", i));
  EXPECT_TRUE(Changed(present + others, "own", {own}) == own + first + others);
  const std::string last = Certificate("last");
  // Ours is the oldest and comes back as the newest; the one behind it makes room.
  EXPECT_TRUE(Changed(present + others + last, "own", {own}) == others + last + own);
}

Json Configuration(const std::string& bundle) {
  Json config = {{"kind", "MutatingWebhookConfiguration"},
                 {"metadata", {{"name", "x"}, {"resourceVersion", "42"}}},
                 {"webhooks",
                  {{{"name", "a.b.c"}, {"clientConfig", {{"service", {{"name", "s"}}}}}},
                   {{"name", "d.e.f"}, {"clientConfig", {{"service", {{"name", "s"}}}}}}}}};
  if (!bundle.empty()) {
    config["webhooks"][0]["clientConfig"]["caBundle"] = absl::Base64Escape(bundle);
  }
  return config;
}

TEST(BundlePatch, IsForEveryWebhookThatLacksIt) {
  const std::string own = Certificate("one");
  const TrustChange change{.replica = "one", .own = {own}, .now = kNow};
  const std::string bundle = absl::Base64Escape(own);
  Json patch = Json::parse(*BundlePatch(Configuration(""), change));
  EXPECT_EQ(patch["metadata"]["resourceVersion"], "42");
  ASSERT_EQ(patch["webhooks"].size(), 2);
  EXPECT_EQ(patch["webhooks"][0]["name"], "a.b.c");
  EXPECT_EQ(patch["webhooks"][0]["clientConfig"].dump(), R"({"caBundle":")" + bundle + R"("})");

  patch = Json::parse(*BundlePatch(Configuration(own), change));
  ASSERT_EQ(patch["webhooks"].size(), 1);
  EXPECT_EQ(patch["webhooks"][0]["name"], "d.e.f");

  Json complete = Configuration(own);
  complete["webhooks"][1]["clientConfig"]["caBundle"] = bundle;
  EXPECT_EQ(*BundlePatch(complete, change), "");
  complete["webhooks"][1]["clientConfig"]["caBundle"] = "no base64!";
  EXPECT_NE(*BundlePatch(complete, change), "");
}

TEST(BundlePatch, RefusesWhatIsNoSuchConfiguration) {
  const TrustChange change{.replica = "one", .own = {Certificate("one")}, .now = kNow};
  for (
      const char* text :
      {"null", "[]", "{}", R"({"kind":"Status"})",
       R"({"kind":"MutatingWebhookConfiguration","metadata":{"resourceVersion":"1"}})",
       R"({"kind":"MutatingWebhookConfiguration","metadata":[],"webhooks":[]})",
       R"({"kind":"MutatingWebhookConfiguration","metadata":{"resourceVersion":"1"},"webhooks":{}})",
       R"({"kind":"MutatingWebhookConfiguration","metadata":{"resourceVersion":"1"},"webhooks":[1]})"}) {
    EXPECT_FALSE(BundlePatch(Json::parse(text), change).ok()) << text;
  }
  EXPECT_FALSE(BundlePatch(Json(Json::value_t::discarded), change).ok());
}

}  // namespace
}  // namespace outrigger::injector
