#include "proxy/inject/yaml.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <exception>
#include <utility>

#include "fmt/format.h"

namespace outrigger::inject {
namespace {

// What a scalar without quotes means, in the schema that Kubernetes reads manifests by.
Json Plain(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return {};
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  const bool is_number = text.find_first_not_of("0123456789+-.eE") == std::string::npos &&
                         text.find_first_of("0123456789") != std::string::npos;
  if (!is_number) return text;
  const Json number = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  return number.is_number() ? number : Json(text);
}

Json FromNode(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      return node.Tag() == "?" ? Plain(node.Scalar()) : Json(node.Scalar());
    case YAML::NodeType::Sequence: {
      Json list = Json::array();
      for (const YAML::Node& element : node) list.push_back(FromNode(element));
      return list;
    }
    case YAML::NodeType::Map: {
      Json map = Json::object();
      for (const auto& entry : node) map[entry.first.Scalar()] = FromNode(entry.second);
      return map;
    }
    case YAML::NodeType::Undefined:
    case YAML::NodeType::Null:
      break;
  }
  return {};
}

// Words that mean themselves without quotes, whoever reads them.
std::string Scalar(const Json& value) {
  if (!value.is_string()) return value.dump();
  const std::string text = value.get<std::string>();
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/_.-";
  constexpr std::string_view kLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  const bool is_word = !text.empty() && kLetters.find(text[0]) != kLetters.npos &&
                       text.find_first_not_of(kPlain) == std::string::npos;
  for (const std::string_view other :
       {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}) {
    const bool is_other =
        text.size() == other.size() && std::equal(text.begin(), text.end(), other.begin(),
                                                  [](char a, char b) { return (a | 0x20) == b; });
    if (is_other) return value.dump();
  }
  return is_word ? text : value.dump();
}

void Write(const Json& value, size_t indent, bool is_in_list, std::string& out) {
  if (!value.is_structured() || value.empty()) {
    out += fmt::format(" {}\n", value.is_structured() ? value.dump() : Scalar(value));
    return;
  }
  // The first line of a map in a list stands behind its dash.
  bool is_first_inline = is_in_list && value.is_object();
  if (!is_first_inline) out += '\n';
  for (const auto& [key, element] : value.items()) {
    out += is_first_inline ? " " : std::string(indent, ' ');
    is_first_inline = false;
    if (value.is_array()) {
      out += '-';
      Write(element, indent + 2, true, out);
    } else {
      out += Scalar(Json(key)) + ":";
      Write(element, element.is_array() ? indent : indent + 2, false, out);
    }
  }
}

}  // namespace

absl::StatusOr<std::vector<Json>> ReadYaml(std::string_view text) {
  std::vector<Json> documents;
  try {
    for (const YAML::Node& node : YAML::LoadAll(std::string(text))) {
      Json document = FromNode(node);
      if (!document.is_null()) documents.push_back(std::move(document));
    }
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(error.what());
  }
  return documents;
}

std::string WriteYaml(const std::vector<Json>& documents) {
  std::string out;
  for (const Json& document : documents) {
    out += "---";
    Write(document, 0, false, out);
  }
  return out;
}

}  // namespace outrigger::inject
