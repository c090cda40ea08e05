#include "proxy/injector/webhook.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/tls/server_context.h"

namespace outrigger::injector {
namespace {

using http::Method;
using testing::HasSubstr;

constexpr char kReview[] =
    R"({"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"1",)"
    R"("operation":"CREATE","resource":{"version":"v1","resource":"pods"},)"
    R"("object":{"metadata":{},"spec":{"containers":[{"name":"a",)"
    R"("ports":[{"name":"http","containerPort":1}]}]}}}})";

class WebhookTest : public testing::Test {
 protected:
  Reply Ask(Method method, std::string_view target, std::string_view body = "",
            std::string_view type = "application/json") {
    return webhook_.Answer({method, target, type, body});
  }
  bool Counts(const std::string& verdict, int count) {
    return metrics_.Serialize().find("outrigger_injector_reviews_total{verdict=\"" + verdict +
                                     "\"} " + std::to_string(count) + "\n") != std::string::npos;
  }

  log::LogService logs_{{.level = log::Level::kOff}};
  tls::ServerContext context_{tls::ServerOptions{}};
  InjectorMetrics metrics_{logs_, context_};
  std::string problem_;
  Webhook webhook_{{.inject = {}, .log = logs_.shared(), .metrics = metrics_, .problem = [this] {
                      return problem_;
                    }}};
};

TEST_F(WebhookTest, AnswersReviewsAndCountsThem) {
  // As the API server asks.
  const Reply reply = Ask(Method::kPost, "/mutate?timeout=5s", kReview);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.content_type, "application/json");
  EXPECT_THAT(reply.body, HasSubstr("\"patch\""));
  EXPECT_EQ(Ask(Method::kPost, "/mutate", kReview, "Application/JSON; charset=utf-8").status, 200);
  EXPECT_TRUE(Counts("injected", 2));
  EXPECT_TRUE(Counts("malformed", 0));
}

TEST_F(WebhookTest, RefusesTheRest) {
  EXPECT_EQ(Ask(Method::kPost, "/mutate", "{}").status, 400);
  EXPECT_THAT(Ask(Method::kPost, "/mutate", "{}").body, HasSubstr("AdmissionReview"));
  EXPECT_EQ(Ask(Method::kPost, "/mutate", kReview, "text/plain").status, 415);
  EXPECT_EQ(Ask(Method::kPost, "/mutate", kReview, "").status, 415);
  EXPECT_TRUE(Counts("malformed", 4));
  EXPECT_EQ(Ask(Method::kGet, "/mutate").status, 405);
  EXPECT_EQ(Ask(Method::kGet, "/mutate").allow, "POST");
  EXPECT_EQ(Ask(Method::kPost, "/livez").allow, "GET, HEAD");
  for (const char* target : {"/", "/mutate/", "/Mutate", "*", "/livez/x", ""}) {
    EXPECT_EQ(Ask(Method::kPost, target).status, 404) << target;
  }
}

TEST_F(WebhookTest, ReadinessSaysWhyNot) {
  EXPECT_EQ(Ask(Method::kGet, "/readyz").status, 200);
  problem_ = "draining";
  EXPECT_EQ(Ask(Method::kGet, "/readyz").status, 503);
  EXPECT_EQ(Ask(Method::kGet, "/readyz").body, "draining\n");
  EXPECT_EQ(Ask(Method::kHead, "/livez").status, 200);
}

}  // namespace
}  // namespace outrigger::injector
