// Puts the sidecar into a pod, as the chart's admission policy does (helm/outrigger, policy.yaml);
// tests/kubernetes holds the two against each other.
//
//   Outcome outcome = InjectPod(options, metadata, spec);   // of a Pod or of a pod's template
//   if (outcome.is_injected) ...
//
// Pure: no files, no clock. Injecting a second time changes nothing, be it as the other kind.

#pragma once

#include <string>

#include "proxy/inject/definition.h"

namespace outrigger::inject {

struct Options {
  const Json* definition = nullptr;  // null: the one that is compiled in; outlives the call
  std::string image;                 // empty: the definition's
  std::string port_name;             // empty: the definition's
  // native: an init container that goes on running. container: the first of the pod's containers,
  // which holds those after it back. Empty: the definition's.
  std::string kind;
};

struct Outcome {
  bool is_injected = false;
  std::string reason;  // why not
  // It was to be injected and cannot be; otherwise it is left alone for a good reason.
  bool is_impossible = false;
};

// `metadata` and `spec` are objects; null stands for an empty one.
Outcome InjectPod(const Options& options, Json& metadata, Json& spec);

}  // namespace outrigger::inject
