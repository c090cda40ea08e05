// `outrigger inject`: manifests in, manifests with the sidecar out.
//
// Pods and the templates of Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs and CronJobs
// get the sidecar; everything else passes as it is. Remarks name objects that were left alone and
// why, Services whose requests would go past the sidecar (K8-6), and Jobs that would not complete.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "proxy/inject/pod.h"

namespace outrigger::inject {

struct Injected {
  std::string text;
  std::vector<std::string> remarks;
};

// InvalidArgument: the text is not YAML.
absl::StatusOr<Injected> InjectManifests(const Options& options, std::string_view text);

}  // namespace outrigger::inject
