#include "tests/proxy/config/schema_validator.h"

#include <algorithm>
#include <regex>
#include <set>

#include "fmt/format.h"

namespace outrigger::config {
namespace {

using Json = nlohmann::ordered_json;

class Validator {
 public:
  explicit Validator(const Json& root) : root_(root) {}

  void Check(const Json& schema, const Json& value, const std::string& path) {
    for (const auto& [keyword, rule] : schema.items()) {
      if (!Holds(schema, keyword, rule, value, path)) {
        violations_.push_back(fmt::format("{}: {} {} for {}", path, keyword, rule.dump(),
                                          value.is_structured() ? "..." : value.dump()));
      }
    }
  }
  std::vector<std::string> violations() && { return std::move(violations_); }

 private:
  bool Accepts(const Json& schema, const Json& value) const {
    Validator inner(root_);
    inner.Check(schema, value, "");
    return inner.violations_.empty();
  }

  static bool HasType(const Json& value, const std::string& type) {
    if (type == "object") return value.is_object();
    if (type == "array") return value.is_array();
    if (type == "string") return value.is_string();
    if (type == "integer") return value.is_number_integer();
    if (type == "number") return value.is_number();
    if (type == "boolean") return value.is_boolean();
    return type == "null" && value.is_null();
  }

  // Whether `value` keeps the rule; violations in its parts are recorded with their own place.
  bool Holds(const Json& schema, const std::string& keyword, const Json& rule, const Json& value,
             const std::string& path) {
    if (keyword == "$ref") {
      Check(root_.at(Json::json_pointer(rule.get<std::string>().substr(1))), value, path);
      return true;
    }
    if (keyword == "type") {
      if (rule.is_string()) return HasType(value, rule);
      return std::any_of(rule.begin(), rule.end(),
                         [&](const Json& type) { return HasType(value, type); });
    }
    if (keyword == "enum") return std::find(rule.begin(), rule.end(), value) != rule.end();
    if (keyword == "const") return value == rule;
    if (keyword == "not") return !Accepts(rule, value);
    if (keyword == "anyOf") {
      return std::any_of(rule.begin(), rule.end(),
                         [&](const Json& part) { return Accepts(part, value); });
    }
    if (keyword == "pattern") {
      return !value.is_string() ||
             std::regex_search(value.get<std::string>(), std::regex(rule.get<std::string>()));
    }
    if (keyword == "minimum") return !value.is_number() || value >= rule;
    if (keyword == "maximum") return !value.is_number() || value <= rule;
    if (keyword == "exclusiveMinimum") return !value.is_number() || value > rule;
    if (keyword == "minItems") return !value.is_array() || value.size() >= rule;
    if (keyword == "maxItems") return !value.is_array() || value.size() <= rule;
    if (keyword == "minProperties") return !value.is_object() || value.size() >= rule;
    if (keyword == "maxProperties") return !value.is_object() || value.size() <= rule;
    if (keyword == "uniqueItems") {
      return !value.is_array() || std::set<Json>(value.begin(), value.end()).size() == value.size();
    }
    if (keyword == "items") {
      if (!value.is_array()) return true;
      for (size_t i = 0; i < value.size(); ++i)
        Check(rule, value[i], fmt::format("{}[{}]", path, i));
      return true;
    }
    if (keyword == "propertyNames") {
      if (!value.is_object()) return true;
      return std::all_of(value.items().begin(), value.items().end(),
                         [&](const auto& item) { return Accepts(rule, item.key()); });
    }
    if (keyword == "properties") return CheckProperties(rule, value, path);
    if (keyword == "additionalProperties") return CheckOthers(schema, rule, value, path);
    return keyword == "description" || keyword == "default" || keyword == "title" ||
           keyword == "$schema" || keyword == "$defs";
  }

  bool CheckProperties(const Json& rule, const Json& value, const std::string& path) {
    if (!value.is_object()) return true;
    for (const auto& [key, property] : rule.items()) {
      if (value.contains(key)) Check(property, value.at(key), path + "." + key);
    }
    return true;
  }

  bool CheckOthers(const Json& schema, const Json& rule, const Json& value,
                   const std::string& path) {
    if (!value.is_object()) return true;
    for (const auto& [key, part] : value.items()) {
      if (schema.contains("properties") && schema.at("properties").contains(key)) continue;
      if (rule.is_boolean()) {
        if (!rule.get<bool>()) violations_.push_back(fmt::format("{}.{}: unknown", path, key));
      } else {
        Check(rule, part, path + "." + key);
      }
    }
    return true;
  }

  const Json& root_;
  std::vector<std::string> violations_;
};

}  // namespace

std::vector<std::string> Violations(const Json& schema, const Json& value) {
  Validator validator(schema);
  validator.Check(schema, value, "");
  return std::move(validator).violations();
}

Json ToPlainJson(const Node& node) {
  switch (node.kind) {
    case Node::Kind::kNull:
      return nullptr;
    case Node::Kind::kSequence: {
      Json list = Json::array();
      for (const NodePtr& item : node.items) list.push_back(ToPlainJson(*item));
      return list;
    }
    case Node::Kind::kMap: {
      Json object = Json::object();
      for (const Node::Entry& entry : node.entries) object[entry.key] = ToPlainJson(*entry.value);
      return object;
    }
    case Node::Kind::kScalar:
      break;
  }
  static const std::regex kNumber(R"(-?(0|[1-9][0-9]*)(\.[0-9]+)?)");
  const bool is_plain = node.text == "true" || node.text == "false";
  if (!node.quoted && (is_plain || std::regex_match(node.text, kNumber))) {
    return Json::parse(node.text);
  }
  return node.text;
}

}  // namespace outrigger::config
