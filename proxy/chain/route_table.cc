#include "proxy/chain/route_table.h"

#include <algorithm>

namespace outrigger::chain {
namespace {

bool IsWildcard(std::string_view segment) {
  return segment == "*" || (segment.size() >= 2 && segment.front() == '{' && segment.back() == '}');
}

bool HasWildcard(std::string_view path_template) {
  return path_template.find_first_of("*{") != std::string_view::npos;
}

// A field may come in several lines (RFC 9110, 5.3): one of them is enough.
bool HasField(const http::HeaderList& headers, std::string_view name, std::string_view value) {
  return std::any_of(headers.begin(), headers.end(), [&](const http::HeaderField& field) {
    return http::EqualsIgnoreCase(field.name, name) && (value == "*" || field.value == value);
  });
}

// Everything but the exact path.
bool Matches(const config::RouteMatch& match, const http::Request& request) {
  if (match.prefix.has_value() && !MatchesPrefix(*match.prefix, request.path)) return false;
  if (match.path_template.has_value() && !MatchesTemplate(*match.path_template, request.path)) {
    return false;
  }
  if (!match.methods.empty() && std::find(match.methods.begin(), match.methods.end(),
                                          request.method_name) == match.methods.end()) {
    return false;
  }
  for (const auto& [name, value] : match.headers) {
    if (!HasField(request.headers, name, value)) return false;
  }
  if (match.content_type.empty()) return true;
  const http::HeaderField* type = request.headers.Find(http::HeaderId::kContentType);
  return type != nullptr && std::any_of(match.content_type.begin(), match.content_type.end(),
                                        [type](const std::string& pattern) {
                                          return MatchesMediaType(pattern, type->value);
                                        });
}

}  // namespace

RouteTable::RouteTable(const std::vector<config::RouteConfig>& routes) {
  for (const config::RouteConfig& route : routes) {
    Entry entry{&route.match, {}};
    if (route.match.path.has_value()) {
      entry.exact_path = *route.match.path;
    } else if (route.match.path_template.has_value() && !HasWildcard(*route.match.path_template)) {
      entry.exact_path = *route.match.path_template;
    }
    entries_.push_back(entry);
  }
}

std::optional<size_t> RouteTable::Match(const http::Request& request) const {
  for (size_t i = 0; i < entries_.size(); ++i) {
    const Entry& entry = entries_[i];
    if (!entry.exact_path.empty() && entry.exact_path != request.path) continue;
    if (Matches(*entry.match, request)) return i;
  }
  return std::nullopt;
}

bool MatchesTemplate(std::string_view path_template, std::string_view path) {
  while (!path_template.empty() && !path.empty()) {
    if (path_template.front() != '/' || path.front() != '/') return false;
    path_template.remove_prefix(1);
    path.remove_prefix(1);
    const std::string_view expected = path_template.substr(0, path_template.find('/'));
    const std::string_view segment = path.substr(0, path.find('/'));
    if (IsWildcard(expected) ? segment.empty() : segment != expected) return false;
    path_template.remove_prefix(expected.size());
    path.remove_prefix(segment.size());
  }
  return path_template.empty() && path.empty();
}

bool MatchesPrefix(std::string_view prefix, std::string_view path) {
  if (!path.starts_with(prefix)) return false;
  return path.size() == prefix.size() || prefix.ends_with('/') || path[prefix.size()] == '/';
}

bool MatchesMediaType(std::string_view pattern, std::string_view content_type) {
  const std::string_view type = http::TrimOws(content_type.substr(0, content_type.find(';')));
  if (pattern.ends_with("/*")) {
    const std::string_view family = pattern.substr(0, pattern.size() - 1);
    return type.size() > family.size() &&
           http::EqualsIgnoreCase(type.substr(0, family.size()), family);
  }
  return http::EqualsIgnoreCase(type, pattern);
}

}  // namespace outrigger::chain
