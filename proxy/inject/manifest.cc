#include "proxy/inject/manifest.h"

#include <utility>

#include "fmt/format.h"
#include "proxy/inject/yaml.h"

namespace outrigger::inject {
namespace {

std::string TextAt(const Json& object, const char* pointer) {
  const Json::json_pointer path(pointer);
  return object.contains(path) && object[path].is_string() ? object[path].get<std::string>() : "";
}

std::string NameOf(const Json& object) {
  std::string name = TextAt(object, "/metadata/name");
  if (name.empty()) name = TextAt(object, "/metadata/generateName");
  return fmt::format("{} {}", TextAt(object, "/kind"), name.empty() ? "without a name" : name);
}

// The pod within an object: itself or its template. Null: it has none.
Json* PodOf(Json& object) {
  const std::string kind = TextAt(object, "/kind");
  const char* path = nullptr;
  if (kind == "Pod") path = "";
  for (const char* controller : {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}) {
    if (kind == controller) path = "/spec/template";
  }
  if (kind == "CronJob") path = "/spec/jobTemplate/spec/template";
  if (path == nullptr) return nullptr;
  const Json::json_pointer pointer(path);
  if (!object.contains(pointer)) return nullptr;
  Json& pod = object[pointer];
  return pod.is_object() && pod.contains("spec") && pod["spec"].is_object() ? &pod : nullptr;
}

void LookAtService(const Json& service, std::vector<std::string>& remarks) {
  const Json::json_pointer ports("/spec/ports");
  if (!service.contains(ports)) return;
  for (const Json& port : service[ports]) {
    // Left out, it is the number of the port.
    if (!port.is_object() || !TextAt(port, "/targetPort").empty()) continue;
    remarks.push_back(fmt::format(
        "{}: the targetPort of port {} is a number, so that its requests go past the sidecar; name "
        "the port",
        NameOf(service), port.contains("port") ? port["port"].dump() : "?"));
  }
}

void InjectObject(const Options& options, Json& object, std::vector<std::string>& remarks) {
  if (!object.is_object()) return;
  if (TextAt(object, "/kind") == "List" && object.contains("items")) {
    for (Json& item : object["items"]) InjectObject(options, item, remarks);
    return;
  }
  if (TextAt(object, "/kind") == "Service") LookAtService(object, remarks);
  Json* pod = PodOf(object);
  if (pod == nullptr) return;
  Json changed = *pod;
  Outcome outcome;
  try {
    // A map keeps its entries in order in one block: a new one moves the others.
    if (!changed.contains("metadata")) changed["metadata"] = Json::object();
    outcome = InjectPod(options, changed.at("metadata"), changed.at("spec"));
  } catch (const Json::exception& error) {  // a list where a map should be, and the like
    outcome.reason = error.what();
  }
  if (outcome.is_injected) {
    *pod = std::move(changed);
    const std::string kind = TextAt(object, "/kind");
    if (options.kind == "container" && (kind == "Job" || kind == "CronJob")) {
      remarks.push_back(
          fmt::format("{}: completes only if its command ends the sidecar, an ordinary container, "
                      "with POST http://127.0.0.1:15020/drain",
                      NameOf(object)));
    }
  } else {
    remarks.push_back(fmt::format("{}: not injected: {}", NameOf(object), outcome.reason));
  }
}

}  // namespace

absl::StatusOr<Injected> InjectManifests(const Options& options, std::string_view text) {
  absl::StatusOr<std::vector<Json>> documents = ReadYaml(text);
  if (!documents.ok()) return documents.status();
  Injected injected;
  for (Json& document : *documents) InjectObject(options, document, injected.remarks);
  injected.text = WriteYaml(*documents);
  return injected;
}

}  // namespace outrigger::inject
