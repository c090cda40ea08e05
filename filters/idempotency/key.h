// Reads the client's idempotency key from the request's header fields (semantics ID-1).
//
//   const ParsedKey key = ParseKey(request.headers, policy.key_headers, arena);
//   if (key.state == ParsedKey::State::kInvalid) return 400 with key.problem;
//
// A value is either a structured-field string (RFC 9651, 3.3.3: "..." with \" and \\ as the only
// escapes) or the bare characters, as Stripe's clients send them. Both forms of one key are the
// same key. After unquoting it has 1 to 255 visible ASCII characters, so no space.
//
// Refused, because a guess could merge two keys or run a request twice: parameters after a quoted
// string (`"k";a=1`), and bare values with a comma or a quote, which is how intermediaries join two
// fields into one. Several fields are fine while all mean the same key.
//
// The view points into the header's value, or into `arena` when escapes had to be taken out.

#pragma once

#include <span>
#include <string>
#include <string_view>

#include "proxy/base/arena.h"
#include "proxy/http/headers.h"

namespace outrigger::idempotency {

inline constexpr size_t kMaxKeyBytes = 255;

struct ParsedKey {
  enum class State { kAbsent, kValid, kInvalid };

  State state = State::kAbsent;
  std::string_view key;
  // For the answer's `detail` when invalid: static text that never repeats what the client sent.
  std::string_view problem;
};

// One field's value.
ParsedKey ParseKeyValue(std::string_view value, Arena& arena);

// All fields whose name is in `names`, compared without case.
ParsedKey ParseKey(const http::HeaderList& headers, std::span<const std::string> names,
                   Arena& arena);

}  // namespace outrigger::idempotency
