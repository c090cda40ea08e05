#include "proxy/inject/pod.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"

namespace outrigger::inject {
namespace {

constexpr std::string_view kName = "outrigger";
constexpr std::string_view kNative = "native";
constexpr char kDefaultContainer[] = "kubectl.kubernetes.io/default-container";
// What a drain leaves of the grace period.
constexpr int64_t kReserveSeconds = 5;
constexpr int64_t kDefaultGraceSeconds = 30;

const Json& At(const Json& object, const std::string& key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string Text(const Json& value, std::string otherwise = "") {
  return value.is_string() ? value.get<std::string>() : std::move(otherwise);
}

bool Has(const Json& containers, std::string_view name) {
  return std::any_of(containers.begin(), containers.end(),
                     [name](const Json& container) { return Text(At(container, "name")) == name; });
}

bool IsNamed(const Json& port, const std::string& name) {
  const Json& its_name = At(port, "name");
  return its_name.is_string() && its_name == name;
}

// The container's port of this name; null when it has none.
const Json& PortNamed(const Json& container, const std::string& name) {
  static const Json kNull;
  for (const Json& port : At(container, "ports")) {
    if (IsNamed(port, name)) return port;
  }
  return kNull;
}

// Where the sidecar sends requests; empty when the pod does not say.
std::string Upstream(const Json& annotations, const Json& spec, const std::string& port_name) {
  if (const Json& annotation = At(annotations, "outrigger/upstream"); annotation.is_string()) {
    const std::string stated = annotation.get<std::string>();
    const bool is_port =
        !stated.empty() && stated.find_first_not_of("0123456789") == std::string::npos;
    return is_port ? "127.0.0.1:" + stated : stated;
  }
  for (const Json& container : At(spec, "containers")) {
    const Json& port = At(PortNamed(container, port_name), "containerPort");
    if (port.is_number_integer()) return fmt::format("127.0.0.1:{}", port.get<int64_t>());
  }
  return "";
}

// "@upstream" and the like, wherever they stand.
void Fill(Json& value, const std::string& mark, const std::string& text) {
  if (value.is_string() && value.get<std::string>() == mark) value = text;
  if (!value.is_structured()) return;
  for (Json& element : value) Fill(element, mark, text);
}

void SetResources(const Json& annotations, Json& sidecar) {
  for (const auto& [kind, suffix] : {std::pair("requests", "request"), {"limits", "limit"}}) {
    for (const std::string what : {"cpu", "memory", "ephemeral-storage"}) {
      const Json& amount = At(annotations, fmt::format("outrigger/{}-{}", what, suffix));
      if (!amount.is_string()) continue;
      if (amount != "") {
        sidecar["resources"][kind][what] = amount;
      } else if (At(At(sidecar, "resources"), kind).is_object()) {
        sidecar["resources"][kind].erase(what);
      }
    }
  }
}

// The probes and hooks of a container go on asking it when the port's name has moved.
void UseNumber(Json& place, const std::string& name, const Json& number) {
  if (!place.is_object()) return;
  for (const std::string action : {"httpGet", "tcpSocket"}) {
    if (At(At(place, action), "port") == name) place[action]["port"] = number;
  }
}

void MovePort(Json& container, const std::string& name) {
  const Json port = PortNamed(container, name);
  if (port.is_null()) return;
  for (Json& each : container["ports"]) {
    if (IsNamed(each, name)) each.erase("name");
  }
  const Json& number = port["containerPort"];
  for (const std::string probe : {"startupProbe", "livenessProbe", "readinessProbe"}) {
    if (container.contains(probe)) UseNumber(container[probe], name, number);
  }
  if (!container.contains("lifecycle")) return;
  for (const std::string hook : {"postStart", "preStop"}) {
    Json& lifecycle = container["lifecycle"];
    if (lifecycle.contains(hook)) UseNumber(lifecycle[hook], name, number);
  }
}

const Json& AdminPort(const Json& sidecar) {
  return At(PortNamed(sidecar, "outrigger-prom"), "containerPort");
}

// What the container calls a port, or its number; null when it has none of that name.
const Json& NumberOf(const Json& container, const Json& port) {
  if (!port.is_string()) return port;
  return At(PortNamed(container, port.get<std::string>()), "containerPort");
}

// Probes over HTTP of an app that only the sidecar can reach go to the sidecar. Those of other
// kinds or to other hosts are left alone, and so are those to a port that nobody knows. Returns
// what the sidecar must be told.
std::vector<std::string> SendProbesToSidecar(const Json& sidecar, Json& container) {
  std::vector<std::string> told;
  const std::string name = Text(At(container, "name"));
  for (const auto& [probe, short_name] : {std::pair("startupProbe", "startup"),
                                          {"livenessProbe", "liveness"},
                                          {"readinessProbe", "readiness"}}) {
    const Json& asked = At(At(container, probe), "httpGet");
    const Json& number = NumberOf(container, At(asked, "port"));
    if (!number.is_number_integer() || !Text(At(asked, "host")).empty()) continue;
    if (Text(At(asked, "scheme"), "HTTP") != "HTTP") continue;
    const std::string path = Text(At(asked, "path"));
    told.push_back(fmt::format("--app-health={}/{}=http://127.0.0.1:{}{}{}", name, short_name,
                               number.get<int64_t>(), path.starts_with('/') ? "" : "/", path));
    Json& place = container[probe]["httpGet"];
    place["path"] = fmt::format("/.outrigger/app-health/{}/{}", name, short_name);
    place["port"] = AdminPort(sidecar);
  }
  return told;
}

// Where the sidecar is an ordinary container Kubernetes may have no hook that sleeps: then it is
// the sidecar that answers late (proxy/admin/app_stops.h).
void HoldBack(Json& container, int64_t wanted, int64_t grace, const Json& sidecar, bool is_native) {
  const int64_t seconds = grace > wanted + 2 ? wanted : grace / 2;
  if (wanted <= 0 || seconds <= 0 || !At(At(container, "lifecycle"), "preStop").is_null()) return;
  Json& hook = container["lifecycle"]["preStop"];
  if (is_native) {
    hook = {{"sleep", {{"seconds", seconds}}}};
  } else {
    hook = {{"httpGet",
             {{"path", fmt::format("/.outrigger/app-stop/{}", seconds)},
              {"port", AdminPort(sidecar)}}}};
  }
}

// Native, it starts before all other init containers, and else before all other containers.
void PutFirst(Json sidecar, bool is_native, Json& metadata, Json& spec) {
  Json& containers = spec[is_native ? "initContainers" : "containers"];
  if (!containers.is_array()) containers = Json::array();
  const bool has_default = At(metadata, "annotations").contains(kDefaultContainer);
  if (!is_native && !has_default && !containers.empty() && containers[0].contains("name")) {
    // The first of the containers is the one that kubectl takes.
    metadata["annotations"][kDefaultContainer] = containers[0]["name"];
  }
  containers.insert(containers.begin(), std::move(sidecar));
}

Json Sidecar(const Json& form, const Options& options, const Json& annotations,
             const std::string& upstream, const std::string& port_name, int64_t grace) {
  Json sidecar = form;
  const int64_t drain = grace > kReserveSeconds + 1 ? grace - kReserveSeconds : 1;
  Fill(sidecar, "@upstream", upstream);
  Fill(sidecar, "@port", port_name);
  Fill(sidecar, "@drain", fmt::format("{}s", drain));
  if (!options.image.empty()) sidecar["image"] = options.image;
  SetResources(annotations, sidecar);
  return sidecar;
}

}  // namespace

Outcome InjectPod(const Options& options, Json& metadata, Json& spec) {
  const Json& definition = options.definition != nullptr ? *options.definition : Definition();
  const Json annotations = At(metadata, "annotations");
  const std::string port_name =
      Text(At(annotations, "outrigger/port-name"),
           options.port_name.empty() ? Text(definition["portName"]) : options.port_name);
  if (Text(At(At(metadata, "labels"), "outrigger/inject")) == "disabled") {
    return {false, "it has the label outrigger/inject=disabled"};
  }
  if (Has(At(spec, "initContainers"), kName) || Has(At(spec, "containers"), kName)) {
    return {false, "it has the sidecar"};
  }
  if (At(spec, "hostNetwork") == true) {
    return {false, "the pod is on the network of its host", /*is_impossible=*/true};
  }
  const std::string upstream = Upstream(annotations, spec, port_name);
  if (upstream.empty()) {
    return {false,
            fmt::format("no container has a port named {}, and there is no annotation "
                        "outrigger/upstream",
                        port_name),
            /*is_impossible=*/true};
  }

  const Json& stated_grace = At(spec, "terminationGracePeriodSeconds");
  const int64_t grace =
      stated_grace.is_number_integer() ? stated_grace.get<int64_t>() : kDefaultGraceSeconds;
  for (const auto& [key, value] : definition["labels"].items()) metadata["labels"][key] = value;
  if (!annotations.contains("prometheus.io/scrape")) {
    for (const auto& [key, value] : definition["annotations"].items()) {
      metadata["annotations"][key] = value;
    }
  }
  Json volume = definition["volume"];
  if (const Json& named = At(annotations, "outrigger/config"); named.is_string()) {
    volume["configMap"]["name"] = named;
    volume["configMap"]["optional"] = false;
  }
  Json& volumes = spec["volumes"];
  if (!volumes.is_array()) volumes = Json::array();
  volumes.push_back(std::move(volume));

  const bool is_on_loopback = Text(At(annotations, "outrigger/app-localhost")) == "true";
  const std::string kind = options.kind.empty() ? Text(definition["kind"]) : options.kind;
  const bool is_native = kind == kNative;
  Json sidecar =
      Sidecar(definition["sidecars"][kind], options, annotations, upstream, port_name, grace);
  for (Json& container : spec["containers"]) {
    if (is_on_loopback) {
      for (std::string& told : SendProbesToSidecar(sidecar, container)) {
        sidecar["args"].push_back(std::move(told));
      }
    }
    MovePort(container, port_name);
    HoldBack(container, definition["appPreStopSeconds"], grace, sidecar, is_native);
  }
  PutFirst(std::move(sidecar), is_native, metadata, spec);
  return {true, ""};
}

}  // namespace outrigger::inject
