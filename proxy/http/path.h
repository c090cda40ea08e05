// The path by which routes and limits are matched (semantics RU-5).
//
//   NormalPath path;
//   if (std::string_view problem = NormalizePath(target, arena, path); !problem.empty())
//     return BadRequest(problem);
//   route = routes.Match(path.path);
//
// Two spellings of one resource must match the same route, or `//v1/chat` and `/v1/%63hat` would
// slip past a limit. Unreserved characters are decoded, the remaining escapes written in upper
// case, slashes merged and then dot segments removed (RFC 3986, 6.2.2). What the service might read
// in two ways is refused. This form is for matching only: the request goes on with its own bytes.
//
// `path` views the target when that is normal already, else the arena. Never keeps state.

#pragma once

#include <string_view>

#include "proxy/base/arena.h"

namespace outrigger::http {

struct NormalPath {
  std::string_view path;   // "/..." or "*"
  std::string_view query;  // as received, without the question mark
};

// `target` in origin form ("/a?b"), or "*". Empty on success, else why it is bad: an encoded slash,
// backslash or NUL, a raw backslash, a broken escape, a character outside visible ASCII, a
// fragment, no leading slash. A static text.
[[nodiscard]] std::string_view NormalizePath(std::string_view target, Arena& arena,
                                             NormalPath& out);

}  // namespace outrigger::http
