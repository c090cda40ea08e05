// A mapping with known keys, described key by key.
//
//   Type<DrainSettings> drain =
//       Section<DrainSettings>("drain")
//           .Key("timeout", &DrainSettings::timeout, DurationType(), "Time that draining may take")
//           .Later("grace", "Taken from the pod")       // refused with "not supported yet"
//           .Done();
//
// Defaults are the member initialisers of the struct. Keys that the file does not state keep the
// value they had, which is what merges a route's overrides over the chain's settings.

#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "proxy/config/value_type.h"

namespace outrigger::config {

// JSON in YAML's flow style: {kind: fixed, codes: [1, 2]}.
std::string ToFlowYaml(const Json& json);

namespace internal {
// "unknown key, did you mean ...?"
std::string UnknownKey(std::string_view key, const std::vector<std::string_view>& known);
}  // namespace internal

template <class S>
class SectionOf final : public ValueType<S> {
 public:
  explicit SectionOf(std::string name) : name_(std::move(name)) {}

  void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
             S& value) const override {
    if (where_ != nullptr) value.*where_ = node.where;
    if (node.kind == Node::Kind::kNull) return;  // `retry:` with nothing after it: all defaults
    if (node.kind != Node::Kind::kMap) {
      diagnostics.Add(node.where, path,
                      fmt::format("expected keys and values, got {}", node.Describe()));
      return;
    }
    std::set<std::string_view> seen;
    for (const Node::Entry& entry : node.entries) {
      if (diagnostics.full()) return;
      const std::string key_path = path.empty() ? entry.key : path + "." + entry.key;
      const Field* field = FindField(entry.key);
      if (!seen.insert(entry.key).second) {
        diagnostics.Add(entry.where, key_path, "duplicate key");
      } else if (field == nullptr) {
        diagnostics.Add(entry.where, key_path, internal::UnknownKey(entry.key, KnownKeys()));
      } else if (field->access == nullptr) {
        diagnostics.Add(entry.where, key_path, "not supported yet");
      } else {
        field->access->Parse(*entry.value, key_path, diagnostics, value);
      }
    }
  }

  Json Dump(const S& value) const override {
    Json object = Json::object();
    for (const Field& field : fields_) {
      if (field.access == nullptr) continue;
      Json dumped = field.access->Dump(value);
      if (!dumped.is_null()) object[field.key] = std::move(dumped);
    }
    return object;
  }

  Json Schema(Json& definitions) const override {
    if (!definitions.contains(name_)) {
      definitions[name_] = nullptr;  // claims the place, so that definitions stand in order of use
      Json schema = OwnSchema(definitions);
      definitions[name_] = std::move(schema);
    }
    return {{"$ref", "#/$defs/" + name_}};
  }

  std::string Text() const override {
    std::string keys;
    for (const Field& field : fields_) {
      if (field.access == nullptr) continue;
      keys += keys.empty() ? "" : ", ";
      keys += field.key;
    }
    return "{" + keys + "}";
  }

  void DescribeKeys(const std::string& prefix, std::vector<KeyDescription>& lines) const override {
    const S defaults{};
    for (const Field& field : fields_) {
      const std::string key = prefix.empty() ? field.key : prefix + "." + field.key;
      if (field.access == nullptr) {
        lines.push_back({key, "not supported yet", "", field.help});
        continue;
      }
      std::vector<KeyDescription> inner;
      field.access->DescribeKeys(key, inner);
      std::string standard = field.shown_default;
      const Json dumped = field.access->Dump(defaults);
      // The lines of the parts say it for a mapping.
      const bool in_parts = dumped.is_object() && !inner.empty();
      if (standard.empty() && !in_parts) standard = ToFlowYaml(dumped);
      lines.push_back({key, field.access->Text(), std::move(standard), field.help});
      lines.insert(lines.end(), inner.begin(), inner.end());
    }
  }

  template <class F>
  void AddKey(std::string key, F S::*member, Type<F> type, std::string help,
              std::string shown_default) {
    fields_.push_back({std::move(key), std::move(help), std::move(shown_default),
                       std::make_shared<MemberAccess<F>>(member, std::move(type))});
  }
  void AddLater(std::string key, std::string help) {
    fields_.push_back({std::move(key), std::move(help), "", nullptr});
  }
  void KeepLocation(SourceLocation S::*where) { where_ = where; }

  const std::string& name() const { return name_; }

 private:
  // A ValueType of the struct that works on one member.
  template <class F>
  class MemberAccess final : public ValueType<S> {
   public:
    MemberAccess(F S::*member, Type<F> type) : member_(member), type_(std::move(type)) {}
    void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
               S& value) const override {
      type_->Parse(node, path, diagnostics, value.*member_);
    }
    Json Dump(const S& value) const override { return type_->Dump(value.*member_); }
    Json Schema(Json& definitions) const override { return type_->Schema(definitions); }
    std::string Text() const override { return type_->Text(); }
    void DescribeKeys(const std::string& prefix,
                      std::vector<KeyDescription>& lines) const override {
      type_->DescribeKeys(prefix, lines);
    }

   private:
    F S::*member_;
    Type<F> type_;
  };

  struct Field {
    std::string key;
    std::string help;
    std::string shown_default;  // in words, for the reference; empty: the struct's own
    Type<S> access;             // null: not supported yet
  };

  const Field* FindField(std::string_view key) const {
    for (const Field& field : fields_) {
      if (field.key == key) return &field;
    }
    return nullptr;
  }

  std::vector<std::string_view> KnownKeys() const {
    std::vector<std::string_view> keys;
    for (const Field& field : fields_) keys.push_back(field.key);
    return keys;
  }

  Json OwnSchema(Json& definitions) const {
    const S defaults{};
    Json properties = Json::object();
    for (const Field& field : fields_) {
      if (field.access == nullptr) {
        properties[field.key] = {{"description", "Not supported yet. " + field.help},
                                 {"not", Json::object()}};
        continue;
      }
      Json property = field.access->Schema(definitions);
      property["description"] = field.help;
      Json standard = field.shown_default.empty() ? field.access->Dump(defaults) : Json(nullptr);
      if (!standard.is_null()) property["default"] = std::move(standard);
      properties[field.key] = std::move(property);
    }
    return {{"type", {"object", "null"}},
            {"properties", std::move(properties)},
            {"additionalProperties", false}};
  }

  std::string name_;  // of the definition in the JSON Schema
  std::vector<Field> fields_;
  SourceLocation S::*where_ = nullptr;
};

// Builds a SectionOf<S>.
template <class S>
class Section {
 public:
  explicit Section(std::string name) : section_(std::make_shared<SectionOf<S>>(std::move(name))) {}

  // `shown_default` says the default in words where the struct's own does not tell.
  template <class F>
  Section& Key(std::string key, F S::*member, std::type_identity_t<Type<F>> type, std::string help,
               std::string shown_default = "") {
    section_->AddKey(std::move(key), member, std::move(type), std::move(help),
                     std::move(shown_default));
    return *this;
  }
  // A key of a later version.
  Section& Later(std::string key, std::string help) {
    section_->AddLater(std::move(key), std::move(help));
    return *this;
  }
  // Where the section stands in the file is kept in this member.
  Section& KeepsLocation(SourceLocation S::*where) {
    section_->KeepLocation(where);
    return *this;
  }
  Type<S> Done() { return std::move(section_); }

 private:
  std::shared_ptr<SectionOf<S>> section_;
};

}  // namespace outrigger::config
