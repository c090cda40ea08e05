// Whom the API server trusts as our webhook: the caBundle in a MutatingWebhookConfiguration.
//
//   TrustChange change{.replica = "pod-1", .own = {pem}, .now = ...};
//   absl::StatusOr<std::string> patch = BundlePatch(configuration, change);
//   if (patch.ok() && !patch->empty()) ...        // PATCH, strategic merge; 409: read it again
//
// Each replica of the injector vouches for itself, so that no key is ever stored or sent: the
// bundle is a list of their certificates. A replica adds its own and takes out those that it had
// before, those that have ended, whatever is no certificate, and the oldest beyond a limit; who
// finds its own gone adds it again. Pure.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proxy/inject/definition.h"

namespace outrigger::injector {

struct TrustChange {
  std::string replica;           // the common name of its certificates
  std::vector<std::string> own;  // PEM: in use, and to be used next
  absl::Time now;
};

// `present` with the change made; the same text when there is nothing to do.
std::string ChangeBundle(std::string_view present, const TrustChange& change);

// A strategic merge patch with the resource version that it is made for, or nothing when every
// webhook of the configuration has the certificates. InvalidArgument: it is no such configuration.
absl::StatusOr<std::string> BundlePatch(const inject::Json& configuration,
                                        const TrustChange& change);

}  // namespace outrigger::injector
