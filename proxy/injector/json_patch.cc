#include "proxy/injector/json_patch.h"

#include <algorithm>

#include "fmt/format.h"

namespace outrigger::injector {
namespace {

// A member's name as a part of a JSON pointer (RFC 6901, 3).
std::string Escaped(const std::string& name) {
  std::string escaped;
  for (const char c : name) {
    if (c == '~') {
      escaped += "~0";
    } else if (c == '/') {
      escaped += "~1";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

// Containers, volumes, ports and the like keep their names while they change.
bool IsTheSameElement(const Json& before, const Json& after) {
  if (!before.is_object() || !before.contains("name")) return before == after;
  return after.is_object() && after.contains("name") && before["name"] == after["name"];
}

class Patch {
 public:
  void Compare(const Json& before, const Json& after, const std::string& path) {
    if (before.is_object() && after.is_object()) {
      CompareObjects(before, after, path);
    } else if (before.is_array() && after.is_array()) {
      CompareArrays(before, after, path);
    } else if (before != after) {
      Append("replace", path, &after);
    }
  }

  Json Take() { return std::move(operations_); }

 private:
  void Append(const char* operation, const std::string& path, const Json* value) {
    Json entry = {{"op", operation}, {"path", path}};
    if (value != nullptr) entry["value"] = *value;
    operations_.push_back(std::move(entry));
  }

  void CompareObjects(const Json& before, const Json& after, const std::string& path) {
    for (const auto& [name, value] : before.items()) {
      if (!after.contains(name)) Append("remove", path + "/" + Escaped(name), nullptr);
    }
    for (const auto& [name, value] : after.items()) {
      const std::string member = path + "/" + Escaped(name);
      const auto found = before.find(name);
      if (found == before.end()) {
        Append("add", member, &value);
      } else {
        Compare(*found, value, member);
      }
    }
  }

  void CompareArrays(const Json& before, const Json& after, const std::string& path) {
    if (before.size() == after.size()) {
      for (size_t i = 0; i < before.size(); ++i) {
        Compare(before[i], after[i], fmt::format("{}/{}", path, i));
      }
    } else if (before.size() < after.size() &&
               std::equal(before.rbegin(), before.rend(), after.rbegin(), IsTheSameElement)) {
      const size_t more = after.size() - before.size();
      for (size_t i = more; i > 0; --i) Append("add", path + "/0", &after[i - 1]);
      for (size_t i = 0; i < before.size(); ++i) {
        Compare(before[i], after[i + more], fmt::format("{}/{}", path, i + more));
      }
    } else if (before.size() < after.size() &&
               std::equal(before.begin(), before.end(), after.begin())) {
      for (size_t i = before.size(); i < after.size(); ++i) Append("add", path + "/-", &after[i]);
    } else {
      Append("replace", path, &after);
    }
  }

  Json operations_ = Json::array();
};

}  // namespace

Json MakePatch(const Json& before, const Json& after, const std::string& root) {
  Patch patch;
  patch.Compare(before, after, root);
  return patch.Take();
}

}  // namespace outrigger::injector
