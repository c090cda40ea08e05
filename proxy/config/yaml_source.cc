#include "proxy/config/yaml_source.h"

#include <charconv>
#include <cstdint>
#include <optional>
#include <sstream>
#include <unordered_map>
#include <utility>

#include "fmt/format.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/exceptions.h"
#include "yaml-cpp/parser.h"

namespace outrigger::config {
namespace {

constexpr size_t kMaxBytes = 1 << 20;
constexpr size_t kMaxDepth = 32;
// Elements with every alias written out: what a reader of the tree has to visit.
constexpr size_t kMaxElements = 100'000;

// Thrown through yaml-cpp to end its parsing; caught in LoadYaml.
struct Stop {
  ConfigError error;
};

[[noreturn]] void Fail(SourceLocation where, std::string message) {
  throw Stop{{where, "", std::move(message)}};
}

SourceLocation FromMark(const YAML::Mark& mark) { return {mark.line + 1, mark.column + 1}; }

// The length of the UTF-8 character at the start of `text`, 0 if there is none (RFC 3629).
size_t Utf8Length(std::string_view text) {
  const auto byte = [&](size_t i) -> uint32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  const auto continues = [&](size_t i) { return (byte(i) & 0xC0) == 0x80; };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return continues(1) ? 2 : 0;
  if ((lead & 0xF0) == 0xE0) {
    if (!continues(1) || !continues(2)) return 0;
    const uint32_t code = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    return code < 0x800 || (code >= 0xD800 && code <= 0xDFFF) ? 0 : 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!continues(1) || !continues(2) || !continues(3)) return 0;
    const uint32_t code = (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6;
    return code < 0x10000 || code > 0x10FFFF ? 0 : 4;
  }
  return 0;
}

// Fails unless `text` is acceptable; returns the place of its end.
SourceLocation CheckText(std::string_view text) {
  if (text.size() > kMaxBytes) {
    Fail({1, 1},
         fmt::format("the file has {} bytes, at most {} are accepted", text.size(), kMaxBytes));
  }
  SourceLocation where{1, 1};
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t length = Utf8Length(text.substr(i));
    if (length == 0) {
      Fail(where,
           fmt::format("the byte 0x{:02x} is not valid UTF-8; save the file as UTF-8", byte));
    }
    if ((byte < 0x20 && byte != '\t' && byte != '\n' && byte != '\r') || byte == 0x7F) {
      Fail(where, fmt::format("the control character 0x{:02x} is not allowed", byte));
    }
    if (byte == '\n') {
      where = {where.line + 1, 1};
    } else {
      ++where.column;
    }
    i += length;
  }
  return where;
}

// Turns yaml-cpp's events into a tree.
class TreeBuilder : public YAML::EventHandler {
 public:
  NodePtr root() const { return root_; }
  bool has_root() const { return root_ != nullptr; }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (has_root()) Fail(FromMark(mark), "a second document starts here; one is expected");
  }
  void OnDocumentEnd() override {}
  void OnAnchor(const YAML::Mark&, const std::string&) override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    std::shared_ptr<Node> node = Make(Node::Kind::kNull, mark, "");
    // Nothing has no place of its own.
    if (!stack_.empty() && stack_.back().pending.has_value()) {
      node->where = stack_.back().pending->where;
    }
    Value(std::move(node), anchor);
  }

  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& text) override {
    std::shared_ptr<Node> node = Make(Node::Kind::kScalar, mark, tag);
    node->text = text;
    node->quoted = tag == "!";
    Value(std::move(node), anchor);
  }

  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      Fail(FromMark(mark), "this alias stands inside of what it refers to");
    }
    Attach(found->second.node, FromMark(mark), found->second.elements);
  }

  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    Open(Make(Node::Kind::kSequence, mark, tag), anchor);
  }
  void OnSequenceEnd() override { Close(); }

  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    Open(Make(Node::Kind::kMap, mark, tag), anchor);
  }
  void OnMapEnd() override { Close(); }

 private:
  // A list or mapping whose end has not been seen.
  struct Frame {
    std::shared_ptr<Node> node;
    YAML::anchor_t anchor = 0;
    size_t elements = 1;
    std::optional<Node::Entry> pending;  // of a mapping: the key whose value comes next
  };
  struct Anchored {
    NodePtr node;
    size_t elements = 0;
  };

  static std::shared_ptr<Node> Make(Node::Kind kind, const YAML::Mark& mark,
                                    const std::string& tag) {
    // "?" is "no tag", "!" is how yaml-cpp marks text in quotes.
    if (!tag.empty() && tag != "?" && tag != "!") {
      Fail(FromMark(mark), "tags are not supported: " + Quote(tag));
    }
    auto node = std::make_shared<Node>();
    node->kind = kind;
    node->where = FromMark(mark);
    return node;
  }

  bool ExpectsKey() const {
    return !stack_.empty() && stack_.back().node->kind == Node::Kind::kMap &&
           !stack_.back().pending.has_value();
  }

  void Value(std::shared_ptr<Node> node, YAML::anchor_t anchor) {
    const SourceLocation where = node->where;
    if (anchor != 0) anchors_[anchor] = {node, 1};
    Attach(std::move(node), where, 1);
  }

  void Open(std::shared_ptr<Node> node, YAML::anchor_t anchor) {
    if (ExpectsKey()) Fail(node->where, "a key must be text");
    if (stack_.size() >= kMaxDepth) {
      Fail(node->where, fmt::format("nested deeper than {} levels", kMaxDepth));
    }
    stack_.push_back({std::move(node), anchor, 1, std::nullopt});
  }

  void Close() {
    Frame frame = std::move(stack_.back());
    stack_.pop_back();
    if (frame.anchor != 0) anchors_[frame.anchor] = {frame.node, frame.elements};
    const SourceLocation where = frame.node->where;
    Attach(std::move(frame.node), where, frame.elements);
  }

  void Attach(NodePtr node, SourceLocation where, size_t elements) {
    if (stack_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = stack_.back();
    frame.elements += elements;
    if (frame.elements > kMaxElements) {
      Fail(where, fmt::format("more than {} elements, those that aliases stand for included",
                              kMaxElements));
    }
    if (frame.node->kind == Node::Kind::kSequence) {
      frame.node->items.push_back(std::move(node));
    } else if (frame.pending.has_value()) {
      frame.pending->value = std::move(node);
      frame.node->entries.push_back(*std::move(frame.pending));
      frame.pending.reset();
    } else {
      if (!node->is_scalar()) Fail(where, "a key must be text");
      if (node->text == "<<" && !node->quoted) {
        Fail(where, "merge keys (<<) are not supported; repeat the keys instead");
      }
      frame.pending = Node::Entry{node->text, where, nullptr};
    }
  }

  NodePtr root_;
  std::vector<Frame> stack_;
  std::unordered_map<YAML::anchor_t, Anchored> anchors_;
};

}  // namespace

const Node* Node::Find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return entry.value.get();
  }
  return nullptr;
}

std::string Node::Describe() const {
  switch (kind) {
    case Kind::kNull:
      return "nothing";
    case Kind::kScalar:
      return Quote(text);
    case Kind::kSequence:
      return "a list";
    case Kind::kMap:
      return "a mapping";
  }
  return "";
}

Expected<NodePtr, ConfigError> LoadYaml(std::string_view text) {
  SourceLocation end{1, 1};
  try {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    end = CheckText(text);
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    TreeBuilder builder;
    while (parser.HandleNextDocument(builder)) {
    }
    if (builder.has_root()) return builder.root();
    auto empty = std::make_shared<Node>();
    empty->where = {1, 1};
    return NodePtr(std::move(empty));
  } catch (const Stop& stop) {
    return stop.error;
  } catch (const YAML::Exception& error) {
    // When the end comes too early, yaml-cpp names the beginning of the file or no place at all.
    const bool at_end = error.mark.is_null() || error.msg.starts_with("end of ");
    const SourceLocation where = at_end ? end : FromMark(error.mark);
    return ConfigError{where, "", "not valid YAML: " + error.msg};
  } catch (const std::exception& error) {
    return ConfigError{{1, 1}, "", fmt::format("cannot read YAML: {}", error.what())};
  }
}

SourceLocation Locate(const Node& root, std::string_view path) {
  const Node* node = &root;
  while (!path.empty()) {
    const Node* next = nullptr;
    if (path.front() == '[') {
      size_t index = 0;
      const size_t end = path.find(']');
      if (end == path.npos) break;
      std::from_chars(path.data() + 1, path.data() + end, index);
      if (node->kind == Node::Kind::kSequence && index < node->items.size()) {
        next = node->items[index].get();
      }
      path.remove_prefix(end + 1);
    } else {
      const std::string_view key = path.substr(0, path.find_first_of(".["));
      next = node->Find(key);
      path.remove_prefix(key.size());
    }
    if (next == nullptr) break;
    node = next;
    if (path.starts_with('.')) path.remove_prefix(1);
  }
  return node->where;
}

}  // namespace outrigger::config
