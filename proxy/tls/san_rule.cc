#include "proxy/tls/san_rule.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "fmt/format.h"

namespace outrigger::tls {
namespace {

constexpr std::string_view kDnsPrefix = "dns:";

std::string Lower(std::string_view text) { return absl::AsciiStrToLower(std::string(text)); }

}  // namespace

bool IsPlainName(std::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return c > ' ' && c < '\x7f' && c != '"' && c != '\\' && c != ',' && c != ';';
  });
}

std::string SubjectNames::Identity() const {
  if (uris.size() == 1) return uris.front();
  if (uris.empty() && !dns.empty()) return std::string(kDnsPrefix) + Lower(dns.front());
  return "";
}

absl::StatusOr<SanRule> SanRule::Parse(std::string_view text) {
  SanRule rule;
  rule.text_ = text;
  std::string_view value = text;
  const bool is_dns = value.starts_with(kDnsPrefix);
  if (is_dns) {
    value.remove_prefix(kDnsPrefix.size());
    rule.kind_ = value.starts_with("*.") ? Kind::kDnsBelow : Kind::kDns;
    if (rule.kind_ == Kind::kDnsBelow) value.remove_prefix(1);
    rule.value_ = Lower(value);
  } else {
    rule.kind_ = value.ends_with("/*") ? Kind::kUriBelow : Kind::kUri;
    if (rule.kind_ == Kind::kUriBelow) value.remove_suffix(1);
    rule.value_ = value;
  }
  const size_t scheme = value.find("://");
  const bool has_form = is_dns ? value.size() > (rule.kind_ == Kind::kDnsBelow ? 1 : 0) &&
                                     value.find('/') == std::string_view::npos
                               : scheme != std::string_view::npos && scheme > 0 &&
                                     value.size() > scheme + 4 && value[scheme + 3] != '/';
  if (!has_form || !IsPlainName(value) || value.find('*') != std::string_view::npos) {
    return absl::InvalidArgumentError(
        fmt::format("expected a name such as spiffe://example.org/ns/prod/*, "
                    "spiffe://example.org/sa/web, dns:client.example.org or dns:*.example.org, "
                    "got \"{}\"",
                    text));
  }
  return rule;
}

bool SanRule::Matches(const SubjectNames& names) const {
  const auto is_match = [this](const std::string& name) {
    switch (kind_) {
      case Kind::kUri:
        return name == value_;
      case Kind::kUriBelow:
        return name.size() > value_.size() && name.starts_with(value_);
      case Kind::kDns:
        return Lower(name) == value_;
      case Kind::kDnsBelow: {
        const size_t dot = name.find('.');
        return dot != std::string::npos && dot > 0 && Lower(name).substr(dot) == value_;
      }
    }
    return false;
  };
  const bool is_uri = kind_ == Kind::kUri || kind_ == Kind::kUriBelow;
  const std::vector<std::string>& candidates = is_uri ? names.uris : names.dns;
  return std::any_of(candidates.begin(), candidates.end(), is_match);
}

}  // namespace outrigger::tls
