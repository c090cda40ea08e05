// Types of values made of other values: a word instead of a value, lists, mappings with free keys,
// and a choice between words and a section.

#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "proxy/config/scalar_types.h"
#include "proxy/config/value_type.h"

namespace outrigger::config {

// A value or a word for its absence, such as `none` or `auto`. With an empty word the absence can
// only be had by not stating the key.
template <class V>
class OptionalOf final : public ValueType<std::optional<V>> {
 public:
  OptionalOf(std::string word, Type<V> inner) : word_(std::move(word)), inner_(std::move(inner)) {}

  void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
             std::optional<V>& value) const override {
    if (!word_.empty() && node.is_scalar() && node.text == word_) {
      value.reset();
      return;
    }
    Diagnostics found;
    V read = value.value_or(V{});
    inner_->Parse(node, path, found, read);
    if (found.empty()) value = std::move(read);
    for (const ConfigError& error : found.errors()) {
      const bool whole = error.path == path && !word_.empty();
      diagnostics.Add(error.where, error.path,
                      whole ? fmt::format("{} (or {})", error.message, word_) : error.message);
    }
  }

  Json Dump(const std::optional<V>& value) const override {
    if (value.has_value()) return inner_->Dump(*value);
    return word_.empty() ? Json(nullptr) : Json(word_);
  }

  Json Schema(Json& definitions) const override {
    if (word_.empty()) return inner_->Schema(definitions);
    return {{"anyOf", {Json{{"const", word_}}, inner_->Schema(definitions)}}};
  }

  std::string Text() const override {
    return word_.empty() ? inner_->Text() : fmt::format("{}, or {}", word_, inner_->Text());
  }

  void DescribeKeys(const std::string& prefix, std::vector<KeyDescription>& lines) const override {
    inner_->DescribeKeys(prefix, lines);
  }

 private:
  std::string word_;
  Type<V> inner_;
};

template <class V>
Type<std::optional<V>> Or(std::string word, Type<V> inner) {
  return std::make_shared<OptionalOf<V>>(std::move(word), std::move(inner));
}
template <class V>
Type<std::optional<V>> Optional(Type<V> inner) {
  return Or<V>("", std::move(inner));
}

struct ListRules {
  size_t min = 0;
  size_t max = 1000;
  bool unique = false;
};

// Replaces the value as a whole: lists are not merged.
template <class V>
class ListOf final : public ValueType<std::vector<V>> {
 public:
  ListOf(Type<V> element, ListRules rules) : element_(std::move(element)), rules_(rules) {}

  void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
             std::vector<V>& value) const override {
    if (node.kind != Node::Kind::kSequence) {
      diagnostics.Add(node.where, path,
                      fmt::format("expected a list, as in [a, b], got {}", node.Describe()));
      return;
    }
    if (node.items.size() < rules_.min || node.items.size() > rules_.max) {
      diagnostics.Add(node.where, path,
                      fmt::format("must have from {} to {} elements, got {}", rules_.min,
                                  rules_.max, node.items.size()));
      return;
    }
    value.clear();
    std::set<std::string> seen;
    for (size_t i = 0; i < node.items.size(); ++i) {
      const std::string element_path = fmt::format("{}[{}]", path, i);
      V element{};
      const size_t errors_before = diagnostics.errors().size();
      element_->Parse(*node.items[i], element_path, diagnostics, element);
      const bool is_read = diagnostics.errors().size() == errors_before;
      if (rules_.unique && is_read && !seen.insert(element_->Dump(element).dump()).second) {
        diagnostics.Add(node.items[i]->where, element_path,
                        fmt::format("{} is listed twice", node.items[i]->Describe()));
      }
      value.push_back(std::move(element));
    }
  }

  Json Dump(const std::vector<V>& value) const override {
    Json list = Json::array();
    for (const V& element : value) list.push_back(element_->Dump(element));
    return list;
  }

  Json Schema(Json& definitions) const override {
    Json schema = {{"type", "array"}, {"items", element_->Schema(definitions)}};
    if (rules_.min > 0) schema["minItems"] = rules_.min;
    schema["maxItems"] = rules_.max;
    if (rules_.unique) schema["uniqueItems"] = true;
    return schema;
  }

  std::string Text() const override { return "a list; each element: " + element_->Text(); }

  void DescribeKeys(const std::string& prefix, std::vector<KeyDescription>& lines) const override {
    element_->DescribeKeys(prefix + "[]", lines);
  }

 private:
  Type<V> element_;
  ListRules rules_;
};

template <class V>
Type<std::vector<V>> List(Type<V> element, ListRules rules = {}) {
  return std::make_shared<ListOf<V>>(std::move(element), rules);
}

// A mapping whose keys are chosen by the user and read by `key`. Replaces the value as a whole.
template <class V>
class MapOf final : public ValueType<std::map<std::string, V>> {
 public:
  MapOf(std::string placeholder, Type<std::string> key, Type<V> element)
      : placeholder_(std::move(placeholder)), key_(std::move(key)), element_(std::move(element)) {}

  void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
             std::map<std::string, V>& value) const override {
    if (node.kind != Node::Kind::kMap) {
      diagnostics.Add(node.where, path,
                      fmt::format("expected a mapping, as in {{a: b}}, got {}", node.Describe()));
      return;
    }
    if (node.entries.size() > kMaxEntries) {
      diagnostics.Add(
          node.where, path,
          fmt::format("must have at most {} keys, got {}", kMaxEntries, node.entries.size()));
      return;
    }
    value.clear();
    for (const Node::Entry& entry : node.entries) {
      const std::string entry_path = path + "." + entry.key;
      Node key_node;
      key_node.kind = Node::Kind::kScalar;
      key_node.where = entry.where;
      key_node.text = entry.key;
      std::string key = entry.key;
      key_->Parse(key_node, entry_path, diagnostics, key);
      V element{};
      element_->Parse(*entry.value, entry_path, diagnostics, element);
      if (!value.emplace(std::move(key), std::move(element)).second) {
        diagnostics.Add(entry.where, entry_path, "duplicate key");
      }
    }
  }

  Json Dump(const std::map<std::string, V>& value) const override {
    Json object = Json::object();
    for (const auto& [key, element] : value) object[key] = element_->Dump(element);
    return object;
  }

  Json Schema(Json& definitions) const override {
    return {{"type", "object"},
            {"maxProperties", kMaxEntries},
            {"propertyNames", key_->Schema(definitions)},
            {"additionalProperties", element_->Schema(definitions)}};
  }

  std::string Text() const override {
    return fmt::format("a mapping; each key: {}; each value: {}", key_->Text(), element_->Text());
  }

  void DescribeKeys(const std::string& prefix, std::vector<KeyDescription>& lines) const override {
    element_->DescribeKeys(fmt::format("{}.<{}>", prefix, placeholder_), lines);
  }

 private:
  static constexpr size_t kMaxEntries = 200;

  std::string placeholder_;
  Type<std::string> key_;
  Type<V> element_;
};

// `placeholder` stands for the key in the reference page.
template <class V>
Type<std::map<std::string, V>> Map(std::string placeholder, Type<std::string> key,
                                   Type<V> element) {
  return std::make_shared<MapOf<V>>(std::move(placeholder), std::move(key), std::move(element));
}

// `request | {path: /health}`: a word that stands for a whole value, or a section.
//
// With `section_start` the section is another kind of value, which is read over `section_start`; a
// value equal to that of a word is dumped as the word. Without it the words abbreviate sections: a
// section is read over the present value and every value is dumped as a section.
template <class V>
struct WordOrSectionRules {
  std::vector<Word<V>> words;
  std::vector<std::string_view> later;  // words that are refused as "not supported yet"
  Type<V> section;
  std::optional<V> section_start;
};

template <class V>
class WordOrSectionOf final : public ValueType<V> {
 public:
  explicit WordOrSectionOf(WordOrSectionRules<V> rules) : rules_(std::move(rules)) {}

  void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
             V& value) const override {
    if (node.kind == Node::Kind::kMap) {
      if (rules_.section_start.has_value()) value = *rules_.section_start;
      rules_.section->Parse(node, path, diagnostics, value);
      return;
    }
    if (node.is_scalar()) {
      for (const Word<V>& word : rules_.words) {
        if (word.text != node.text) continue;
        value = word.value;
        return;
      }
    }
    const std::string section = rules_.section->Text();
    diagnostics.Add(node.where, path,
                    internal::EnumMismatch(node, Alternatives(section), rules_.later));
  }

  Json Dump(const V& value) const override {
    if (rules_.section_start.has_value()) {
      for (const Word<V>& word : rules_.words) {
        if (word.value == value) return word.text;
      }
    }
    return rules_.section->Dump(value);
  }

  Json Schema(Json& definitions) const override {
    std::vector<std::string_view> texts;
    for (const Word<V>& word : rules_.words) texts.push_back(word.text);
    return {{"anyOf",
             {Json{{"enum", internal::EnumValues(texts)}}, rules_.section->Schema(definitions)}}};
  }

  std::string Text() const override {
    const std::string section = rules_.section->Text();
    return JoinAlternatives(Alternatives(section));
  }

  void DescribeKeys(const std::string& prefix, std::vector<KeyDescription>& lines) const override {
    rules_.section->DescribeKeys(prefix, lines);
  }

 private:
  std::vector<std::string_view> Alternatives(std::string_view section) const {
    std::vector<std::string_view> texts;
    for (const Word<V>& word : rules_.words) texts.push_back(word.text);
    texts.push_back(section);
    return texts;
  }

  WordOrSectionRules<V> rules_;
};

template <class V>
Type<V> WordOrSection(WordOrSectionRules<V> rules) {
  return std::make_shared<WordOrSectionOf<V>>(std::move(rules));
}

}  // namespace outrigger::config
