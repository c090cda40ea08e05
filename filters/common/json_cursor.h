// Walks over JSON text without building anything: for finding one or two members of an object.
//
//   JsonCursor json(text);
//   std::string_view key;
//   if (!json.EnterObject()) return;
//   while (json.NextKey(&key)) {
//     if (key == "type" && json.ReadString(&type)) continue;
//     json.SkipValue();
//   }
//   if (json.has_failed()) ...  // truncated or not JSON
//
// It checks only the structure that it needs, so it is no validator: text that is not JSON makes it
// fail or answer something, but it never reads outside the text, never recurses and always ends.
// Keys and strings are given as written, escapes included.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace outrigger::common {

enum class JsonType : uint8_t { kNone, kObject, kArray, kString, kNumber, kLiteral };

class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text) : text_(text) {}

  // The type of the value at the cursor; kNone at the end or at something else.
  JsonType Peek();

  bool EnterObject() { return Enter('{'); }
  bool EnterArray() { return Enter('['); }
  // The next member's key, the cursor at its value; false behind the object's end.
  // REQUIRES: each value has been read, skipped or entered and left.
  bool NextKey(std::string_view* key);
  // The cursor at the next element; false behind the array's end.
  bool NextElement();

  // These consume the value, or return false and stay where they are.
  bool ReadString(std::string_view* value);
  bool ReadInteger(int64_t* value);
  // Whether the value at the cursor is null, "", [] or {}.
  bool IsEmptyValue();
  // True unless the text is exhausted or broken.
  bool SkipValue();

  bool has_failed() const { return has_failed_; }

 private:
  void SkipSpace();
  bool Enter(char open);
  bool Fail();
  // The offset behind the string that starts at `begin`, or npos.
  size_t StringEnd(size_t begin) const;

  std::string_view text_;
  size_t at_ = 0;
  bool has_failed_ = false;
  bool is_first_ = false;  // right behind an opening bracket
};

}  // namespace outrigger::common
