// The difference between two JSON values as a JSON Patch (RFC 6902).
//
//   Json patch = MakePatch(before, after, "/spec");
//   // [{"op":"add","path":"/spec/initContainers/0","value":{...}}, ...]
//
// Elements that were put in front of a list or behind it are added, in front also where those with
// a name that were there have changed; where a list changed otherwise in length it is replaced. Members keep no order. Applied to `before` the patch gives `after`, and
// it is empty when they are the same. Pure; recursion is as deep as the values.

#pragma once

#include <string>

#include "proxy/inject/definition.h"

namespace outrigger::injector {

using inject::Json;

// `root` is the JSON pointer of both values within the document that the patch is for.
Json MakePatch(const Json& before, const Json& after, const std::string& root = "");

}  // namespace outrigger::injector
