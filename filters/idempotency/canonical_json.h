// The canonical form of a JSON text (RFC 8785), without the members that do not count: how two
// bodies are found to say the same (semantics ID-2).
//
//   const JsonRules rules{.ignored = IgnoredMembers({{"user"}})};
//   CanonicalJson(R"({"b": 1.0, "user": "x", "a": "\u0041"})", rules);   // {"a":"A","b":1}
//
// Members stand in the order of their names' UTF-16 code units, without space between tokens;
// strings have their shortest escapes, numbers are written as ECMAScript does.
//
// Nothing when the text has no such form, which depends on the text and the rules alone: it is no
// I-JSON (RFC 7493: not JSON, not UTF-8, a name twice in an object, half of a surrogate pair), it
// has a number that would not keep its value (json_number.h), it nests deeper than kMaxJsonDepth,
// or it or its form is larger than `max_bytes`. Of the value of an ignored member nothing counts
// but that it is JSON within that depth.
//
// A form is its own form. Two texts have one form only if they are one JSON value but for ignored
// members and the last digits of fractions. Any thread. Time grows with the text's size times its
// depth; memory is a small multiple of the size, see kJsonWorkFactor.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/json_pointer.h"

namespace outrigger::idempotency {

inline constexpr size_t kMaxJsonDepth = 64;

// Memory that a call takes, in multiples of the text, for the budget: the form, what sorting and
// the parser's longest token take. A text of nothing but short members or of numbers that are
// written longer than they came takes about three times that at most.
inline constexpr size_t kJsonWorkFactor = 4;

// The members that do not count, each by a JSON Pointer. A token that is an array's index leads
// into that element; only members of objects are ever left out, so that no element changes its
// place. A member that is not there changes nothing.
class IgnoredMembers {
 public:
  static constexpr size_t kMax = 64;
  // A set of them by their numbers.
  using Set = uint64_t;
  static_assert(kMax <= 8 * sizeof(Set));

  IgnoredMembers() = default;
  // REQUIRES: at most kMax pointers, none of them empty.
  explicit IgnoredMembers(std::vector<JsonPointer> pointers);

  Set all() const { return all_; }

  struct Step {
    bool is_ignored = false;
    Set below = 0;  // those that lead further down
  };
  // Of `from`, whose first `depth` tokens have led to an object: those that name its member.
  Step EnterMember(Set from, size_t depth, std::string_view name) const;
  // The same for an array's element.
  Set EnterElement(Set from, size_t depth, uint64_t index) const;

 private:
  std::vector<JsonPointer> pointers_;
  Set all_ = 0;
};

struct JsonRules {
  IgnoredMembers ignored;
  size_t max_bytes = size_t{1} << 20;  // at most 1 GiB
};

std::optional<std::string> CanonicalJson(std::string_view text, const JsonRules& rules);

}  // namespace outrigger::idempotency
