#include "proxy/inject/manifest.h"

#include <fstream>
#include <iterator>
#include <string>
#include <tuple>
#include <vector>

#include "fmt/format.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/inject/yaml.h"

namespace outrigger::inject {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kPod[] = R"(
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  terminationGracePeriodSeconds: 20
  containers:
  - name: helper
    lifecycle: {preStop: {httpGet: {port: 80}}}
  - name: app
    ports: [{name: other, containerPort: 9000}, {name: http, containerPort: 8000}]
    readinessProbe: {httpGet: {path: /health, port: http}}
    startupProbe: {tcpSocket: {port: http}}
    livenessProbe: {httpGet: {port: other}}
    lifecycle: {postStart: {httpGet: {port: http}}}
)";

Injected Inject(const std::string& text, const Options& options = {}) {
  const absl::StatusOr<Injected> injected = InjectManifests(options, text);
  EXPECT_TRUE(injected.ok()) << injected.status().message();
  return injected.ok() ? *injected : Injected{};
}

Json First(const Injected& injected) { return ReadYaml(injected.text)->front(); }

TEST(Inject, PutsTheSidecarFirstAndMovesThePort) {
  const Json pod = First(Inject(kPod, {.image = "registry.example/o:1"}));
  const Json& sidecar = pod["spec"]["initContainers"][0];
  EXPECT_EQ(sidecar["name"], "outrigger");
  EXPECT_EQ(sidecar["image"], "registry.example/o:1");
  EXPECT_EQ(sidecar["restartPolicy"], "Always");
  EXPECT_EQ(sidecar["args"].back(), "127.0.0.1:8000");
  EXPECT_EQ(sidecar["ports"][0]["name"], "http");
  EXPECT_EQ(sidecar["lifecycle"]["preStop"]["exec"]["command"].back(), "15s");
  const Json& app = pod["spec"]["containers"][1];
  EXPECT_EQ(app["ports"].dump(),
            R"([{"name":"other","containerPort":9000},{"containerPort":8000}])");
  EXPECT_EQ(app["readinessProbe"]["httpGet"]["port"], 8000);
  EXPECT_EQ(app["startupProbe"]["tcpSocket"]["port"], 8000);
  EXPECT_EQ(app["livenessProbe"]["httpGet"]["port"], "other");
  EXPECT_EQ(app["lifecycle"]["postStart"]["httpGet"]["port"], 8000);
  EXPECT_EQ(app["lifecycle"]["preStop"]["sleep"]["seconds"], 6);
  EXPECT_FALSE(pod["spec"]["containers"][0]["lifecycle"]["preStop"].contains("sleep"));
  EXPECT_EQ(pod["metadata"]["labels"]["outrigger/sidecar"], "true");
  EXPECT_EQ(pod["metadata"]["annotations"]["prometheus.io/port"], "15020");
  EXPECT_EQ(pod["spec"]["volumes"][0]["configMap"]["optional"], true);
}

TEST(Inject, AsAnOrdinaryContainerItIsTheFirstAndHoldsTheOthersBack) {
  const Json pod = First(Inject(kPod, {.kind = "container"}));
  EXPECT_FALSE(pod["spec"].contains("initContainers"));
  const Json& containers = pod["spec"]["containers"];
  ASSERT_EQ(containers.size(), 3);
  EXPECT_EQ(containers[0]["lifecycle"]["postStart"]["exec"]["command"].dump(),
            R"(["/usr/bin/outrigger","wait","--timeout","120s"])");
  EXPECT_EQ(containers[0]["lifecycle"]["preStop"]["exec"]["command"].back(), "15s");
  EXPECT_EQ(containers[0]["startupProbe"]["httpGet"]["path"], "/startupz");
  // Otherwise it is the same, and so are the others.
  const Json native = First(Inject(kPod, {.kind = "native"}));
  EXPECT_EQ(native, First(Inject(kPod)));
  Json sidecar = containers[0];
  sidecar["restartPolicy"] = "Always";
  sidecar["lifecycle"].erase("postStart");
  EXPECT_EQ(nlohmann::json(sidecar), nlohmann::json(native["spec"]["initContainers"][0]));
  EXPECT_EQ(containers[1], native["spec"]["containers"][0]);
  Json app = containers[2];
  EXPECT_EQ(app["lifecycle"]["preStop"].dump(),
            R"({"httpGet":{"path":"/.outrigger/app-stop/6","port":15020}})");
  app["lifecycle"]["preStop"] = native["spec"]["containers"][1]["lifecycle"]["preStop"];
  EXPECT_EQ(app, native["spec"]["containers"][1]);
  EXPECT_EQ(pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"], "helper");
  EXPECT_FALSE(
      native["metadata"]["annotations"].contains("kubectl.kubernetes.io/default-container"));
}

TEST(Inject, LeavesTheDefaultContainerThatAPodNames) {
  const Json pod = First(Inject(R"(
kind: Pod
metadata: {annotations: {kubectl.kubernetes.io/default-container: b}}
spec: {containers: [{name: a, ports: [{name: http, containerPort: 1}]}, {name: b}]}
)",
                                {.kind = "container"}));
  EXPECT_EQ(pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"], "b");
}

TEST(Inject, ChangesNothingTheSecondTimeAsEitherKind) {
  for (const std::string kind : {"native", "container"}) {
    const Injected once = Inject(kPod, {.kind = kind});
    EXPECT_THAT(once.remarks, IsEmpty());
    for (const std::string other : {"native", "container"}) {
      const Injected twice = Inject(once.text, {.kind = other});
      EXPECT_EQ(twice.text, once.text) << kind << " " << other;
      EXPECT_THAT(twice.remarks, ElementsAre(HasSubstr("Pod p: not injected: it has the sidecar")));
    }
  }
}

TEST(Inject, ReachesThePodsOfControllers) {
  for (const std::string kind : {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}) {
    const Json object = First(Inject("kind: " + kind + R"(
spec: {template: {spec: {containers: [{name: a, ports: [{name: http, containerPort: 1}]}]}}})"));
    EXPECT_EQ(object["spec"]["template"]["spec"]["initContainers"].size(), 1) << kind;
  }
  const Json cron = First(Inject(R"(kind: CronJob
spec: {jobTemplate: {spec: {template: {metadata: {annotations: {outrigger/upstream: "llm:80"}},
  spec: {containers: [{name: a}]}}}}})"));
  const Json& spec = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"];
  EXPECT_EQ(spec["initContainers"][0]["args"].back(), "llm:80");
  const Json list =
      First(Inject(std::string("kind: List\nitems: [{kind: Pod, spec: {containers: "
                               "[{name: a, ports: [{name: http, containerPort: 1}]}]}}]")));
  EXPECT_EQ(list["items"][0]["spec"]["initContainers"].size(), 1);
}

TEST(Inject, DoesAsThePodsAnnotationsSay) {
  const Json pod = First(Inject(R"(
kind: Pod
metadata:
  annotations: {outrigger/upstream: "9000", outrigger/port-name: web, outrigger/config: mine,
                outrigger/cpu-limit: "2", outrigger/memory-request: 20Mi, prometheus.io/scrape: "false"}
spec:
  terminationGracePeriodSeconds: 4
  containers: [{name: a, ports: [{name: web, containerPort: 9000}]}]
)"));
  const Json& sidecar = pod["spec"]["initContainers"][0];
  EXPECT_EQ(sidecar["args"].back(), "127.0.0.1:9000");
  EXPECT_EQ(sidecar["ports"][0]["name"], "web");
  EXPECT_EQ(sidecar["resources"]["limits"].dump(), R"({"memory":"64Mi","cpu":"2"})");
  EXPECT_EQ(sidecar["resources"]["requests"]["memory"], "20Mi");
  EXPECT_EQ(sidecar["lifecycle"]["preStop"]["exec"]["command"].back(), "1s");
  EXPECT_EQ(pod["spec"]["volumes"][0]["configMap"].dump(), R"({"name":"mine","optional":false})");
  EXPECT_EQ(pod["spec"]["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"], 2);
  EXPECT_FALSE(pod["metadata"]["annotations"].contains("prometheus.io/port"));
}

TEST(Inject, SendsProbesOfAnAppOnLoopbackToTheSidecar) {
  const Json pod = First(Inject(R"(
kind: Pod
metadata: {annotations: {outrigger/app-localhost: "true"}}
spec:
  containers:
  - name: app
    ports: [{name: http, containerPort: 8000}, {name: side, containerPort: 9000}]
    startupProbe: {httpGet: {path: "/start?a=b", port: http, httpHeaders: [{name: X, value: y}]}}
    livenessProbe: {httpGet: {port: 8001, scheme: HTTP}}
    readinessProbe: {tcpSocket: {port: http}}
  - name: helper
    startupProbe: {exec: {command: [true]}}
    livenessProbe: {httpGet: {path: live, port: 9001}}
    readinessProbe: {httpGet: {path: /ready, port: 9001, scheme: HTTPS}}
  - name: third
    startupProbe: {grpc: {port: 9000}}
    livenessProbe: {httpGet: {path: /x, port: 80, host: other.example}}
    readinessProbe: {httpGet: {path: /x, port: nobodys}}
)"));
  const std::vector<std::string> args = pod["spec"]["initContainers"][0]["args"];
  EXPECT_THAT(
      std::vector<std::string>(args.end() - 4, args.end()),
      ElementsAre("127.0.0.1:8000", "--app-health=app/startup=http://127.0.0.1:8000/start?a=b",
                  "--app-health=app/liveness=http://127.0.0.1:8001/",
                  "--app-health=helper/liveness=http://127.0.0.1:9001/live"));
  const Json& app = pod["spec"]["containers"][0];
  EXPECT_EQ(app["startupProbe"]["httpGet"].dump(),
            R"({"path":"/.outrigger/app-health/app/startup","port":15020,)"
            R"("httpHeaders":[{"name":"X","value":"y"}]})");
  EXPECT_EQ(app["livenessProbe"]["httpGet"]["path"], "/.outrigger/app-health/app/liveness");
  EXPECT_EQ(app["readinessProbe"]["tcpSocket"]["port"], 8000);
  const Json& helper = pod["spec"]["containers"][1];
  EXPECT_EQ(helper["livenessProbe"]["httpGet"].dump(),
            R"({"path":"/.outrigger/app-health/helper/liveness","port":15020})");
  EXPECT_EQ(helper["readinessProbe"]["httpGet"]["path"], "/ready");
  const Json& third = pod["spec"]["containers"][2];
  EXPECT_EQ(third["livenessProbe"]["httpGet"]["port"], 80);
  EXPECT_EQ(third["readinessProbe"]["httpGet"]["port"], "nobodys");
}

TEST(Inject, SaysWhyNot) {
  const auto reason = [](const std::string& text) {
    const Injected injected = Inject(text);
    EXPECT_EQ(First(injected), ReadYaml(text)->front());
    return injected.remarks;
  };
  EXPECT_THAT(reason("{kind: Pod, metadata: {name: a}, spec: {containers: [{name: a}]}}"),
              ElementsAre(HasSubstr("Pod a: not injected: no container has a port named http")));
  EXPECT_THAT(reason("{kind: Pod, metadata: {labels: {outrigger/inject: disabled}}, spec: {}}"),
              ElementsAre(HasSubstr("outrigger/inject=disabled")));
  EXPECT_THAT(reason("{kind: Pod, metadata: {}, spec: {hostNetwork: true, containers: []}}"),
              ElementsAre(HasSubstr("network of its host")));
}

TEST(Inject, NamesServicesThatGoPastTheSidecar) {
  const Injected injected = Inject(R"(
kind: Service
metadata: {name: s}
spec: {ports: [{port: 80, targetPort: http}, {port: 81, targetPort: 8000}, {port: 82}]}
)");
  EXPECT_THAT(injected.remarks,
              ElementsAre(HasSubstr("Service s: the targetPort of port 81"), HasSubstr("port 82")));
}

TEST(Inject, NamesJobsThatAnOrdinaryContainerKeepsFromCompleting) {
  for (const std::string kind : {"Job", "CronJob", "Deployment"}) {
    const std::string pod =
        "{template: {spec: {containers: [{name: a, ports: [{name: http, containerPort: 1}]}]}}}";
    const std::string spec = kind == "CronJob" ? "{jobTemplate: {spec: " + pod + "}}" : pod;
    const std::string text = "{kind: " + kind + ", metadata: {name: j}, spec: " + spec + "}";
    EXPECT_THAT(Inject(text).remarks, IsEmpty()) << kind;
    const std::vector<std::string> remarks = Inject(text, {.kind = "container"}).remarks;
    if (kind == "Deployment") {
      EXPECT_THAT(remarks, IsEmpty());
    } else {
      EXPECT_THAT(remarks, ElementsAre(HasSubstr(kind + " j: completes only if"))) << kind;
    }
  }
}

TEST(Inject, PassesEverythingElse) {
  for (const std::string text :
       {"{kind: ConfigMap, data: {a: \"1\"}}", "[1, 2]", "text", "{kind: 3}", "{kind: Pod}",
        "{kind: Deployment, spec: {}}", "{kind: Pod, metadata: null, spec: 3}",
        "{kind: Pod, metadata: [a], spec: {containers: [{ports: [{name: http, containerPort: "
        "1}]}]}}",
        "{kind: Pod, spec: {containers: [1, {ports: [{name: http, containerPort: 1}]}]}}"}) {
    EXPECT_EQ(First(Inject(text)), ReadYaml(text)->front()) << text;
  }
  EXPECT_FALSE(InjectManifests({}, "{").ok());
}

TEST(Inject, TakesAnotherDefinitionOnlyIfItIsOne) {
  const std::string text = Definition().dump();
  ASSERT_TRUE(ParseDefinition(text).ok());
  EXPECT_EQ(*ParseDefinition(text), Definition());
  const std::pair<const char*, Json> wrong[] = {
      {"/sidecars", nullptr},     {"/sidecars/native/name", "other"},
      {"/sidecars/container", 1}, {"/kind", "other"},
      {"/kind", nullptr},         {"/volume/configMap", nullptr},
      {"/labels", "text"},        {"/annotations", 1},
      {"/portName", 80},          {"/appPreStopSeconds", -1},
      {"/appPreStopSeconds", "6"}};
  for (const auto& [pointer, value] : wrong) {
    Json definition = Definition();
    definition[Json::json_pointer(pointer)] = value;
    const absl::StatusOr<Json> parsed = ParseDefinition(definition.dump());
    ASSERT_FALSE(parsed.ok()) << pointer;
    EXPECT_THAT(std::string(parsed.status().message()), HasSubstr("the definition's")) << pointer;
  }
  for (const char* key :
       {"sidecars", "kind", "volume", "labels", "portName", "appPreStopSeconds"}) {
    Json definition = Definition();
    definition.erase(key);
    EXPECT_FALSE(ParseDefinition(definition.dump()).ok()) << key;
  }
  EXPECT_FALSE(ParseDefinition("").ok());
  EXPECT_FALSE(ParseDefinition("[]").ok());
}

std::string FileOfTheRepository(const std::string& path) {
  std::ifstream file(std::string(OUTRIGGER_SOURCE_DIR) + "/" + path);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

// A chart's own Deployment with the sidecar from the chart's template, and what the program makes
// of the same without it.
TEST(Inject, MakesTheSidecarThatTheLibraryTemplateMakes) {
  for (const auto& [name, kind, place] : {std::tuple("library", "native", "initContainers"),
                                          {"library-1.28", "container", "containers"}}) {
    const std::string path = fmt::format("tests/helm/golden/{}.yaml", name);
    const Json rendered = ReadYaml(FileOfTheRepository(path))->back();
    Json plain = rendered;
    Json& pod = plain["spec"]["template"];
    pod["spec"][place].erase(0);
    pod["spec"]["containers"][0].erase("lifecycle");
    pod["metadata"] = {
        {"annotations", {{"outrigger/upstream", "8000"}, {"outrigger/config", "x"}}}};
    pod["spec"].erase("volumes");
    const Json made = First(Inject(WriteYaml({plain}), {.kind = kind}))["spec"]["template"]["spec"];
    const Json& expected = rendered["spec"]["template"]["spec"];
    EXPECT_EQ(nlohmann::json(made[place][0]), nlohmann::json(expected[place][0])) << name;
    EXPECT_EQ(made["containers"].back(), expected["containers"].back()) << name;
  }
}

TEST(Inject, TakesTheSampleOfTheRepository) {
  const Injected injected = Inject(FileOfTheRepository("k8s/samples/llm.yaml"));
  EXPECT_THAT(injected.remarks, IsEmpty());
  EXPECT_THAT(injected.text, HasSubstr("- \"127.0.0.1:8000\""));
}

}  // namespace
}  // namespace outrigger::inject
