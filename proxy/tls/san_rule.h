// Which names a peer's certificate may carry: rules on its subject alternative names.
//
//   absl::StatusOr<SanRule> rule = SanRule::Parse("spiffe://example.org/ns/prod/*");
//   if (rule->Matches(names)) ...
//
//   spiffe://example.org/ns/prod/sa/web    this URI
//   spiffe://example.org/ns/prod/*         what stands below it
//   spiffe://example.org/*                 the whole trust domain
//   dns:client.example.org                 this name
//   dns:*.example.org                      one label before it
//
// Host names compare without regard to case, URIs byte for byte. A value; any thread.

#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace outrigger::tls {

// Visible ASCII that needs no quoting in a log line or a header, and is not empty.
bool IsPlainName(std::string_view name);

// The names of a certificate that rules and tenants are made of; visible ASCII only.
struct SubjectNames {
  std::vector<std::string> uris;
  std::vector<std::string> dns;

  // The name that stands for the peer as a whole: its only URI, else "dns:" and its first host
  // name. Empty: none, or several URIs, which an SVID must not have.
  std::string Identity() const;
};

class SanRule {
 public:
  // Errors: say what a rule looks like.
  static absl::StatusOr<SanRule> Parse(std::string_view text);

  bool Matches(const SubjectNames& names) const;
  const std::string& text() const { return text_; }

 private:
  enum class Kind { kUri, kUriBelow, kDns, kDnsBelow };

  std::string text_;
  Kind kind_ = Kind::kUri;
  std::string value_;  // with the slash or the dot before `*`
};

}  // namespace outrigger::tls
