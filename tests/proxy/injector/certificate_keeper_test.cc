#include "proxy/injector/certificate_keeper.h"

#include <fcntl.h>

#include <functional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/coro/task_scope.h"
#include "proxy/inject/definition.h"
#include "tests/support/fake_loop.h"

namespace outrigger::injector {
namespace {

using inject::Json;
using testing::HasSubstr;

// An API server with one configuration, which keeps versions as the real one does.
class FakeApi {
 public:
  Task<absl::StatusOr<ApiAnswer>> Call(ApiCall call) {
    calls.push_back(call);
    if (!failure.ok()) co_return failure;
    if (status != 200) co_return ApiAnswer{status, R"({"kind":"Status","message":"no"})"};
    if (call.method == http::Method::kPatch) {
      if (conflicts > 0) {
        --conflicts;
        ++version;
      }
      const Json patch = Json::parse(call.body);
      if (patch["metadata"]["resourceVersion"] != std::to_string(version)) {
        // What somebody else did meanwhile.
        co_return ApiAnswer{409, "conflict"};
      }
      for (const Json& webhook : patch["webhooks"]) {
        EXPECT_EQ(webhook["name"], "pods.injector.outrigger");
        EXPECT_TRUE(
            absl::Base64Unescape(webhook["clientConfig"]["caBundle"].get<std::string>(), &bundle));
      }
      ++version;
    }
    const Json answer = {{"kind", "MutatingWebhookConfiguration"},
                         {"metadata", {{"resourceVersion", std::to_string(version)}}},
                         {"webhooks",
                          {{{"name", "pods.injector.outrigger"},
                            {"clientConfig", {{"caBundle", absl::Base64Escape(bundle)}}}}}}};
    co_return ApiAnswer{200, answer.dump()};
  }

  size_t certificates() const {
    size_t count = 0;
    for (size_t at = bundle.find("BEGIN"); at != std::string::npos;
         at = bundle.find("BEGIN", at + 1)) {
      ++count;
    }
    return count;
  }

  std::vector<ApiCall> calls;
  std::string bundle;
  int version = 7;
  int conflicts = 0;
  int status = 200;
  absl::Status failure;
};

class CertificateKeeperTest : public testing::Test {
 protected:
  CertificateKeeperTest() { keeper_.emplace(MakeKeeper()); }

  CertificateKeeper MakeKeeper() {
    return CertificateKeeper(
        loop_, [this](ApiCall call) { return api_.Call(std::move(call)); }, context_,
        logs_.shared(),
        {.configuration = "c", .replica = "pod-1", .dns = {"a.b.svc"}, .lifetime = kLifetime},
        [this] { ++rotations_; });
  }
  void Start() {
    ASSERT_TRUE(keeper_->Begin().ok());
    scope_.Spawn(keeper_->Run());
    loop_.RunPending();
  }

  static constexpr absl::Duration kLifetime = absl::Hours(3);

  FakeLoop loop_;
  FakeApi api_;
  log::LogService logs_{{.level = log::Level::kOff}};
  tls::ServerContext context_{tls::ServerOptions{}};
  int rotations_ = 0;
  std::optional<CertificateKeeper> keeper_;
  TaskScope scope_{loop_, "keeper"};
};

TEST_F(CertificateKeeperTest, IsReadyAMomentAfterTheApiServerWasTold) {
  ASSERT_TRUE(keeper_->Begin().ok());
  EXPECT_THAT(keeper_->Problem(), HasSubstr("not told of the certificate yet"));
  Start();
  EXPECT_EQ(api_.certificates(), 1);
  EXPECT_EQ(api_.calls.size(), 2);
  EXPECT_EQ(api_.calls[0].target,
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/c");
  EXPECT_EQ(api_.calls[1].content_type, "application/strategic-merge-patch+json");
  EXPECT_THAT(keeper_->Problem(), HasSubstr("just now"));
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(keeper_->Problem(), "");
}

TEST_F(CertificateKeeperTest, AsksWithoutChangingWhenNothingChanged) {
  Start();
  const int version = api_.version;
  loop_.Advance(absl::Minutes(10));
  EXPECT_EQ(api_.version, version);
  EXPECT_GE(api_.calls.size(), 60);
  EXPECT_LE(api_.calls.size(), 70);
}

TEST_F(CertificateKeeperTest, PutsBackWhatAnotherHandTookOut) {
  Start();
  const std::string bundle = api_.bundle;
  api_.bundle.clear();
  loop_.Advance(absl::Seconds(11));
  EXPECT_EQ(api_.bundle, bundle);
  EXPECT_EQ(keeper_->Problem(), "");
}

TEST_F(CertificateKeeperTest, MeetsOthersWhoChangeTheConfiguration) {
  api_.conflicts = 3;
  Start();
  EXPECT_EQ(api_.certificates(), 0);
  loop_.Advance(absl::Seconds(1));
  EXPECT_EQ(api_.certificates(), 1);
}

TEST_F(CertificateKeeperTest, TriesAgainWhenItIsRefusedOrNobodyAnswers) {
  api_.status = 403;
  Start();
  EXPECT_THAT(keeper_->Problem(), HasSubstr("403"));
  api_.status = 200;
  api_.failure = absl::UnavailableError("nobody there");
  loop_.Advance(absl::Seconds(1));
  EXPECT_THAT(keeper_->Problem(), HasSubstr("nobody there"));
  api_.failure = absl::OkStatus();
  loop_.Advance(absl::Seconds(4));
  EXPECT_EQ(keeper_->Problem(), "");
  // What is known stays known.
  api_.status = 500;
  loop_.Advance(absl::Minutes(1));
  EXPECT_EQ(keeper_->Problem(), "");
}

TEST_F(CertificateKeeperTest, TellsOfASuccessorBeforeItShowsIt) {
  Start();
  const std::string first = api_.bundle;
  const std::optional<absl::Time> end = context_.not_after();
  loop_.Advance(kLifetime * 2 / 3 - absl::Seconds(20));
  EXPECT_EQ(api_.bundle, first);
  loop_.Advance(absl::Seconds(30));
  EXPECT_EQ(api_.certificates(), 2);
  EXPECT_EQ(api_.bundle.find(first), 0);
  EXPECT_EQ(context_.not_after(), end);
  EXPECT_EQ(rotations_, 0);
  EXPECT_EQ(keeper_->Problem(), "");
  loop_.Advance(absl::Seconds(32));
  EXPECT_EQ(rotations_, 1);
  EXPECT_GT(context_.not_after(), end);
  EXPECT_EQ(keeper_->Problem(), "");
  // The first one goes when it is not shown any more.
  loop_.Advance(absl::Seconds(11));
  EXPECT_EQ(api_.certificates(), 1);
  EXPECT_EQ(api_.bundle.find(first), std::string::npos);
}

TEST_F(CertificateKeeperTest, DoesNotShowASuccessorThatNobodyWasToldOf) {
  Start();
  const std::optional<absl::Time> end = context_.not_after();
  api_.status = 403;
  loop_.Advance(kLifetime * 5 / 6);
  EXPECT_EQ(context_.not_after(), end);
  // For longer than a successor is good for: another one is made.
  loop_.Advance(kLifetime);
  api_.status = 200;
  loop_.Advance(absl::Minutes(1));
  EXPECT_EQ(rotations_, 1);
  EXPECT_GT(*context_.not_after(), loop_.WallNow() + kLifetime / 3);
}

TEST_F(CertificateKeeperTest, AnotherReplicaBringsItsOwn) {
  Start();
  CertificateKeeper other(
      loop_, [this](ApiCall call) { return api_.Call(std::move(call)); }, context_, logs_.shared(),
      {.configuration = "c", .replica = "pod-2", .dns = {"a.b.svc"}, .lifetime = kLifetime}, [] {});
  ASSERT_TRUE(other.Begin().ok());
  scope_.Spawn(other.Run());
  loop_.Advance(absl::Minutes(5));
  EXPECT_EQ(api_.certificates(), 2);
  const int version = api_.version;
  loop_.Advance(absl::Minutes(5));
  EXPECT_EQ(api_.version, version);
  scope_.CancelAll();
}

TEST_F(CertificateKeeperTest, DroppedWhileItWaitsLeavesNothing) {
  Start();
  loop_.Advance(absl::Seconds(5));
  scope_.CancelAll();
  EXPECT_EQ(loop_.armed_timers(), 0);
}

TEST_F(CertificateKeeperTest, ANameThatCannotBeOneIsAnError) {
  CertificateKeeper keeper(
      loop_, [this](ApiCall call) { return api_.Call(std::move(call)); }, context_, logs_.shared(),
      {.configuration = "c", .replica = "pod", .dns = {"a,DNS:evil"}}, [] {});
  EXPECT_FALSE(keeper.Begin().ok());
}

}  // namespace
}  // namespace outrigger::injector
