#include "proxy/injector/review.h"

#include <string>
#include <utility>

#include "absl/strings/escaping.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/inject/definition.h"

namespace outrigger::injector {
namespace {

using inject::Json;
using testing::HasSubstr;

// What the API server sends for a pod of a ReplicaSet.
Json Review() {
  return Json::parse(R"json({
    "kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1",
    "request": {
      "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
      "kind": {"group": "", "version": "v1", "kind": "Pod"},
      "resource": {"group": "", "version": "v1", "resource": "pods"},
      "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
      "namespace": "llm", "operation": "CREATE", "dryRun": false,
      "userInfo": {"username": "system:serviceaccount:kube-system:replicaset-controller"},
      "object": {
        "kind": "Pod", "apiVersion": "v1",
        "metadata": {"generateName": "llm-5f-", "labels": {"app": "llm"}},
        "spec": {
          "containers": [{
            "name": "llm", "image": "x", "ports": [{"name": "http", "containerPort": 8000, "protocol": "TCP"}],
            "readinessProbe": {"httpGet": {"path": "/health", "port": "http"}}}],
          "initContainers": [{"name": "fetch", "image": "y"}],
          "volumes": [{"name": "models", "emptyDir": {}}],
          "terminationGracePeriodSeconds": 30}}}})json");
}

Json& Pod(Json& review) { return review["request"]["object"]; }

ReviewAnswer Answer(const Json& review, const inject::Options& options = {}) {
  absl::StatusOr<ReviewAnswer> answer = AnswerReview(options, review.dump());
  EXPECT_TRUE(answer.ok()) << answer.status().message();
  return answer.ok() ? *std::move(answer) : ReviewAnswer{};
}

std::string Refusal(std::string_view body) {
  const absl::StatusOr<ReviewAnswer> answer = AnswerReview({}, body);
  EXPECT_FALSE(answer.ok()) << body;
  EXPECT_TRUE(absl::IsInvalidArgument(answer.status()));
  return std::string(answer.status().message());
}

// The pod as the API server would have it then.
Json Patched(const Json& review, const ReviewAnswer& answer) {
  const Json response = Json::parse(answer.body)["response"];
  std::string patch = "[]";
  if (response.contains("patch")) {
    EXPECT_EQ(response["patchType"], "JSONPatch");
    EXPECT_TRUE(absl::Base64Unescape(response["patch"].get<std::string>(), &patch));
  }
  return review["request"]["object"].patch(Json::parse(patch));
}

TEST(Review, AnswersWithThePodThatInjectMakes) {
  const Json review = Review();
  const ReviewAnswer answer = Answer(review);
  EXPECT_EQ(answer.verdict, Verdict::kInjected);
  EXPECT_EQ(answer.pod, "llm/llm-5f-");
  const Json body = Json::parse(answer.body);
  EXPECT_EQ(body["apiVersion"], "admission.k8s.io/v1");
  EXPECT_EQ(body["kind"], "AdmissionReview");
  EXPECT_EQ(body["response"]["uid"], "705ab4f5-6393-11e8-b7cc-42010a800002");
  EXPECT_EQ(body["response"]["allowed"], true);

  Json expected = review["request"]["object"];
  ASSERT_TRUE(inject::InjectPod({}, expected.at("metadata"), expected.at("spec")).is_injected);
  EXPECT_EQ(nlohmann::json(Patched(review, answer)), nlohmann::json(expected));
}

TEST(Review, ThePatchIsAsSmallAsTheChange) {
  const Json review = Review();
  const Json response = Json::parse(Answer(review).body)["response"];
  std::string text;
  ASSERT_TRUE(absl::Base64Unescape(response["patch"].get<std::string>(), &text));
  std::vector<std::string> operations;
  for (const Json& each : Json::parse(text)) {
    operations.push_back(each["op"].get<std::string>() + " " + each["path"].get<std::string>());
  }
  EXPECT_THAT(operations, testing::UnorderedElementsAre(
                              "add /metadata/labels/outrigger~1sidecar",
                              "add /metadata/annotations", "add /spec/initContainers/0",
                              "add /spec/volumes/-", "remove /spec/containers/0/ports/0/name",
                              "replace /spec/containers/0/readinessProbe/httpGet/port",
                              "add /spec/containers/0/lifecycle"));
}

TEST(Review, AskedAgainItChangesNothing) {
  Json review = Review();
  Pod(review) = Patched(review, Answer(review));
  const ReviewAnswer again = Answer(review);
  EXPECT_EQ(again.verdict, Verdict::kLeftAlone);
  EXPECT_EQ(again.reason, "it has the sidecar");
  EXPECT_FALSE(Json::parse(again.body)["response"].contains("patch"));
  EXPECT_EQ(Json::parse(again.body)["response"]["allowed"], true);
}

TEST(Review, ADryRunGetsTheSame) {
  Json review = Review();
  const std::string body = Answer(review).body;
  review["request"]["dryRun"] = true;
  EXPECT_EQ(Answer(review).body, body);
}

TEST(Review, APodThatCannotHaveItSaysWhy) {
  Json unnamed = Review();
  Pod(unnamed)["spec"]["containers"][0]["ports"][0].erase("name");
  Json on_host = Review();
  Pod(on_host)["spec"]["hostNetwork"] = true;
  const std::pair<Json, std::string> cases[] = {
      {unnamed,
       "not injected: no container has a port named http, and there is no annotation "
       "outrigger/upstream"},
      {on_host, "not injected: the pod is on the network of its host"},
  };
  for (const auto& [review, status] : cases) {
    const ReviewAnswer answer = Answer(review);
    EXPECT_EQ(answer.verdict, Verdict::kImpossible);
    Json expected = review["request"]["object"];
    expected["metadata"]["annotations"]["outrigger/status"] = status;
    EXPECT_EQ(nlohmann::json(Patched(review, answer)), nlohmann::json(expected));
    // The pod that says so already.
    Json again = review;
    Pod(again) = expected;
    EXPECT_FALSE(Json::parse(Answer(again).body)["response"].contains("patch"));
  }
}

TEST(Review, AnnotationsCountAsForThePolicy) {
  Json review = Review();
  Pod(review)["metadata"]["annotations"] = {{"outrigger/upstream", "llm.example:80"},
                                            {"outrigger/cpu-limit", "2"},
                                            {"outrigger/memory-limit", ""},
                                            {"outrigger/ephemeral-storage-limit", "1Gi"},
                                            {"other/é~", "kept"}};
  Json pod = Patched(review, Answer(review));
  const Json& sidecar = pod["spec"]["initContainers"][0];
  EXPECT_EQ(sidecar["args"].back(), "llm.example:80");
  EXPECT_EQ(sidecar["resources"]["limits"].dump(), R"({"cpu":"2","ephemeral-storage":"1Gi"})");
  EXPECT_EQ(pod["metadata"]["annotations"]["other/é~"], "kept");

  // Empty ones are annotations, too: no upstream, and a name that no port has.
  for (const char* name : {"outrigger/upstream", "outrigger/port-name"}) {
    Pod(review)["metadata"]["annotations"] = {{name, ""}};
    EXPECT_EQ(Answer(review).verdict, Verdict::kImpossible) << name;
  }
}

TEST(Review, WhatIsNotBeingCreatedIsLeftAlone) {
  Json update = Review();
  update["request"]["operation"] = "UPDATE";
  Json ephemeral = Review();
  ephemeral["request"]["subResource"] = "ephemeralcontainers";
  Json removed = Review();
  removed["request"]["operation"] = "DELETE";
  removed["request"]["object"] = nullptr;
  Json disabled = Review();
  Pod(disabled)["metadata"]["labels"]["outrigger/inject"] = "disabled";
  for (const Json& review : {update, ephemeral, removed, disabled}) {
    const ReviewAnswer answer = Answer(review);
    EXPECT_EQ(answer.verdict, Verdict::kLeftAlone);
    EXPECT_FALSE(answer.reason.empty());
    EXPECT_FALSE(Json::parse(answer.body)["response"].contains("patch"));
  }
}

TEST(Review, PodsWithoutMetadataOrWithNulls) {
  Json review = Review();
  Pod(review).erase("metadata");
  Pod(review)["spec"]["initContainers"] = nullptr;
  Pod(review)["spec"]["volumes"] = nullptr;
  const Json pod = Patched(review, Answer(review));
  EXPECT_EQ(pod["metadata"]["labels"]["outrigger/sidecar"], "true");
  EXPECT_EQ(pod["spec"]["initContainers"].size(), 1);
  EXPECT_EQ(pod["spec"]["volumes"].size(), 1);
}

TEST(Review, TakesTheDefinitionOfTheRelease) {
  Json definition = inject::Definition();
  definition["sidecars"]["native"]["image"] = "registry.example/o:9";
  definition["portName"] = "web";
  definition["annotations"] = Json::object();
  definition["appPreStopSeconds"] = 0;
  Json review = Review();
  EXPECT_EQ(Answer(review, {.definition = &definition}).verdict, Verdict::kImpossible);
  Pod(review)["spec"]["containers"][0]["ports"][0]["name"] = "web";
  Pod(review)["spec"]["terminationGracePeriodSeconds"] = 2;
  const Json pod = Patched(review, Answer(review, {.definition = &definition}));
  EXPECT_EQ(pod["spec"]["initContainers"][0]["image"], "registry.example/o:9");
  EXPECT_FALSE(pod["metadata"].contains("annotations"));
  EXPECT_FALSE(pod["spec"]["containers"][0].contains("lifecycle"));
}

TEST(Review, TakesTheKindOfTheRelease) {
  Json definition = inject::Definition();
  definition["kind"] = "container";
  const Json review = Review();
  const ReviewAnswer answer = Answer(review, {.definition = &definition});
  const Json pod = Patched(review, answer);
  EXPECT_EQ(pod["spec"]["initContainers"], review["request"]["object"]["spec"]["initContainers"]);
  const Json& containers = pod["spec"]["containers"];
  EXPECT_EQ(containers[0]["name"], "outrigger");
  EXPECT_FALSE(containers[0].contains("restartPolicy"));
  EXPECT_EQ(containers[0]["lifecycle"]["postStart"]["exec"]["command"][1], "wait");
  EXPECT_EQ(containers[1]["lifecycle"]["preStop"]["httpGet"]["path"], "/.outrigger/app-stop/6");
  EXPECT_EQ(pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"],
            containers[1]["name"]);
  // Asked again, as the other kind too, it changes nothing.
  Json again = review;
  Pod(again) = pod;
  for (const Json* asked : {static_cast<const Json*>(&definition), &inject::Definition()}) {
    EXPECT_EQ(Answer(again, {.definition = asked}).verdict, Verdict::kLeftAlone);
  }
}

TEST(Review, RefusesWhatIsNoReview) {
  EXPECT_EQ(Refusal(""), "the review is not JSON");
  EXPECT_EQ(Refusal("{"), "the review is not JSON");
  EXPECT_EQ(Refusal("{}{}"), "the review is not JSON");
  EXPECT_EQ(Refusal("\"\xff\""), "the review is not JSON");
  EXPECT_EQ(Refusal("[]"), "the review is not an object");
  EXPECT_EQ(Refusal("null"), "the review is not an object");
  EXPECT_THAT(Refusal("{}"), HasSubstr("kind is null"));

  using Change = std::function<void(Json&)>;
  const std::pair<Change, const char*> cases[] = {
      {[](Json& r) { r["kind"] = "Pod"; }, "kind is \"Pod\", not AdmissionReview"},
      {[](Json& r) { r["kind"] = std::string(500, 'x'); }, "xxx..., not AdmissionReview"},
      {[](Json& r) { r["apiVersion"] = "admission.k8s.io/v1beta1"; },
       "apiVersion is \"admission.k8s.io/v1beta1\", not admission.k8s.io/v1"},
      {[](Json& r) { r.erase("apiVersion"); }, "apiVersion is null"},
      {[](Json& r) { r.erase("request"); }, "request is missing"},
      {[](Json& r) { r["request"] = Json::array(); }, "request is missing"},
      {[](Json& r) { r["request"].erase("uid"); }, "request.uid is missing"},
      {[](Json& r) { r["request"]["uid"] = 1; }, "request.uid is missing"},
      {[](Json& r) { r["request"].erase("operation"); }, "request.operation is missing"},
      {[](Json& r) { r["request"].erase("resource"); }, "request.resource is null"},
      {[](Json& r) { r["request"]["resource"]["resource"] = "deployments"; }, "not pods of v1"},
      {[](Json& r) { r["request"]["resource"]["group"] = "apps"; }, "not pods of v1"},
      {[](Json& r) { r["request"].erase("object"); }, "request.object is not a pod"},
      {[](Json& r) { r["request"]["object"] = "pod"; }, "request.object is not a pod"},
      {[](Json& r) { Pod(r).erase("spec"); }, "request.object is not a pod"},
      {[](Json& r) { Pod(r)["spec"] = Json::array(); }, "request.object is not a pod"},
      {[](Json& r) { Pod(r)["metadata"] = Json::array({1}); }, "request.object is not a pod"},
      {[](Json& r) { Pod(r)["metadata"]["labels"] = Json::array(); },
       "request.object is not a pod"},
      {[](Json& r) { Pod(r)["spec"]["containers"].push_back(7); }, "request.object is not a pod"},
  };
  for (const auto& [change, problem] : cases) {
    Json review = Review();
    change(review);
    EXPECT_THAT(Refusal(review.dump()), HasSubstr(problem));
  }
}

TEST(Review, IsBoundedInDepthAndNumber) {
  // Enough to end a parser, a copy or a comparison that calls itself.
  for (const std::string open : {"[", "{\"a\":"}) {
    std::string deep;
    for (int i = 0; i < 300'000; ++i) deep += open;
    EXPECT_EQ(Refusal(deep), "the review is nested too deeply");
  }
  std::string review = Review().dump();
  const size_t at = review.find("\"uid\"");
  std::string nested = review;
  nested.insert(at, "\"x\":" + std::string(100'000, '[') + std::string(100'000, ']') + ",");
  EXPECT_EQ(Refusal(nested), "the review is nested too deeply");
  std::string many = "\"x\":[0";
  for (int i = 0; i < 300'000; ++i) many += ",0";
  review.insert(at, many + "],");
  EXPECT_EQ(Refusal(review), "the review has too many values");
}

TEST(Review, TextOfAnyKindComesThrough) {
  Json review = Review();
  const std::string odd = "\u0001\"\\/ \u2028 é 中 \U0001F600";
  Pod(review)["spec"]["containers"][0]["env"] = {{{"name", "ODD"}, {"value", odd}}};
  Pod(review)["metadata"]["labels"]["a.b/c~d"] = "x";
  const Json pod = Patched(review, Answer(review));
  EXPECT_EQ(pod["spec"]["containers"][0]["env"][0]["value"], odd);
  EXPECT_EQ(pod["metadata"]["labels"]["a.b/c~d"], "x");
}

}  // namespace
}  // namespace outrigger::injector
