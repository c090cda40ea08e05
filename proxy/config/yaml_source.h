// A YAML document as a tree in which every element knows its line and column.
//
//   Expected<NodePtr, ConfigError> root = LoadYaml(text);
//   if (root.ok()) const Node* listeners = root.value()->Find("listeners");
//
// Accepted is the part of YAML that a configuration needs: one document of UTF-8 text with
// mappings, lists, scalars, anchors and aliases. Refused with a message: more than 1 MiB, nesting
// deeper than 32, merge keys, tags, keys that are not text, aliases that contain themselves or that
// stand for very many elements (an alias shares the elements of its anchor, so a file cannot make
// the tree larger than itself). yaml-cpp throws; nothing thrown leaves LoadYaml.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/base/expected.h"
#include "proxy/config/diagnostics.h"

namespace outrigger::config {

struct Node;
using NodePtr = std::shared_ptr<const Node>;

struct Node {
  enum class Kind { kNull, kScalar, kSequence, kMap };
  struct Entry {
    std::string key;
    SourceLocation where;  // of the key
    NodePtr value;         // never null
  };

  Kind kind = Kind::kNull;
  SourceLocation where;
  std::string text;            // of a scalar
  bool quoted = false;         // a scalar in quotes or a block scalar
  std::vector<NodePtr> items;  // of a sequence
  std::vector<Entry> entries;  // of a mapping, in the file's order; keys may repeat

  bool is_scalar() const { return kind == Kind::kScalar; }

  // The value of the first entry with this key, or nullptr.
  const Node* Find(std::string_view key) const;

  // "a list", "a mapping", "nothing" or the quoted text.
  std::string Describe() const;
};

// An empty document is a Node of kind kNull.
Expected<NodePtr, ConfigError> LoadYaml(std::string_view text);

// The place of `routes[2].match.path` below `root`, or of the nearest element around it that the
// file states.
SourceLocation Locate(const Node& root, std::string_view path);

}  // namespace outrigger::config
