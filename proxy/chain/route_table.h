// Which route claims a request: the first whose conditions all hold (semantics RU-5).
//
//   RouteTable table(config->routes);
//   const config::RouteConfig* route = table.Match(request);   // null: none
//
// Paths are compared in normal form (proxy/http/path.h). A header that comes in several lines fits
// when one of the lines does; a line is compared as a whole, also when it is a list. The content of
// the body is not looked at.
// Built when the configuration is loaded, immutable afterwards; the configuration outlives it.

#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <vector>

#include "proxy/config/route_config.h"
#include "proxy/http/request.h"

namespace outrigger::chain {

class RouteTable {
 public:
  // Views `routes`.
  explicit RouteTable(const std::vector<config::RouteConfig>& routes);

  // The index of the route.
  std::optional<size_t> Match(const http::Request& request) const;

 private:
  struct Entry {
    const config::RouteMatch* match;
    // A path or a template without wildcards, compared before anything else; empty: none.
    std::string_view exact_path;
  };

  std::vector<Entry> entries_;
};

// `*` and `{name}` stand for one segment that is not empty.
bool MatchesTemplate(std::string_view path_template, std::string_view path);
// Whole segments: "/v1" claims "/v1" and "/v1/x".
bool MatchesPrefix(std::string_view prefix, std::string_view path);
// "text/*" claims every text type; parameters of `content_type` do not matter.
bool MatchesMediaType(std::string_view pattern, std::string_view content_type);

}  // namespace outrigger::chain
