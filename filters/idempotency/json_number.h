// Numbers in the canonical form of RFC 8785, which is that of ECMAScript's Number::toString.
//
//   AppendJsonNumber(1e21, out);                        // 1e+21
//   KeepsItsValue("9007199254740993", 9007199254740992.0);   // false
//
// The form goes through a double, in which different numbers may become equal. Where that would
// make two requests one that an app tells apart, KeepsItsValue() says so.

#pragma once

#include <string>
#include <string_view>

namespace outrigger::idempotency {

// REQUIRES: `value` is finite.
void AppendJsonNumber(double value, std::string& out);

// Whether the JSON number `text`, read as the double `value`, may be written as that double: the
// two have one value when the double is written with its shortest digits, or the number is a
// fraction of no more digits than a double tells apart (17), as the RFC has it. So no whole number
// ever becomes equal to another number, and no number to zero.
// REQUIRES: `value` is finite and the double nearest to `text`.
bool KeepsItsValue(std::string_view text, double value);

}  // namespace outrigger::idempotency
