// A type of configuration value: how it is read, shown, described.
//
// One object of this kind describes a key's values once; the parser, the JSON Schema, the reference
// page and the /config dump are made from it. Simple types are in scalar_types.h, those made of
// others in compound_types.h and section.h.

#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "proxy/config/diagnostics.h"
#include "proxy/config/yaml_source.h"

namespace outrigger::config {

using Json = nlohmann::ordered_json;

// One line of the reference page.
struct KeyDescription {
  std::string key;  // dotted, with [] for list elements
  std::string type;
  std::string default_value;  // empty if the parts have their own
  std::string help;
};

template <class V>
class ValueType {
 public:
  ValueType() = default;
  ValueType(const ValueType&) = delete;
  ValueType& operator=(const ValueType&) = delete;
  virtual ~ValueType() = default;

  // Reads `node` over `value`: what the node does not state stays. Problems go to `diagnostics`
  // under `path` and leave a usable value behind, so that later errors are found as well.
  virtual void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
                     V& value) const = 0;

  // JSON that Parse reads back to the same value; null for a value that no text states.
  virtual Json Dump(const V& value) const = 0;

  // JSON Schema (draft 2020-12). Large parts are put into `definitions` and referred to.
  virtual Json Schema(Json& definitions) const = 0;

  // For people: "duration, 1ms or more".
  virtual std::string Text() const = 0;

  // Appends a line for each key inside values of this type; scalars have none.
  virtual void DescribeKeys(const std::string& /*prefix*/,
                            std::vector<KeyDescription>& /*lines*/) const {}
};

template <class V>
using Type = std::shared_ptr<const ValueType<V>>;

}  // namespace outrigger::config
