// Random JSON values, each written in a random way and in the canonical one, by code that shares
// nothing with the product's.
//
//   JsonValue value = RandomJson(random, 4);
//   Spell(value, random);     // members in any order, any space, any escapes
//   Reference(value);         // RFC 8785

#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace outrigger::idempotency {

using JsonRandom = std::mt19937_64;

struct JsonValue {
  enum class Kind { kWord, kString, kArray, kObject };

  Kind kind = Kind::kWord;
  std::vector<std::string> words = {"null"};  // spellings, the canonical one first
  std::u16string string;
  std::vector<JsonValue> elements;
  // Its order is that of the code units.
  std::map<std::u16string, JsonValue> members;
};

inline std::u16string RandomText(JsonRandom& random) {
  // Whole characters in UTF-16, with those that make the two orders differ.
  static const std::vector<std::u16string> kCharacters = {u"a",          u"b",
                                                          u"A",          u"0",
                                                          u"/",          u"\"",
                                                          u"\\",         u"\n",
                                                          u"\b",         u"\x01",
                                                          u"\x1f",       u"\x7f",
                                                          u"\u0080",     u"\u00f6",
                                                          u"\u20ac",     u"\ud7ff",
                                                          u"\ue000",     u"\ufb33",
                                                          u"\uffff",     u"\U0001F600",
                                                          u"\U0010FFFF", std::u16string(1, u'\0')};
  std::u16string text;
  for (size_t i = random() % 5; i > 0; --i) text += kCharacters[random() % kCharacters.size()];
  return text;
}

// Of at most 15 digits, within what is written without an exponent.
inline JsonValue RandomNumber(JsonRandom& random) {
  const bool is_negative = random() % 2 == 0;
  std::string digits = std::to_string(random() % 900'000'000'000'000 >> random() % 50);
  const std::string sign = is_negative && digits != "0" ? "-" : "";
  JsonValue number;
  const size_t scale = random() % 6;
  if (scale == 0 || digits.back() == '0') {
    number.words = {sign + digits, sign + digits + ".0", sign + digits + "E+0"};
    if (digits == "0") {
      number.words.insert(number.words.end(), {"-0", "-0.0", "0e5"});
    } else {
      number.words.push_back(sign + digits + "0e-1");
    }
    return number;
  }
  const std::string exponent = "e-" + std::to_string(scale);
  std::string plain = digits;
  if (plain.size() <= scale) plain.insert(0, scale + 1 - plain.size(), '0');
  plain.insert(plain.size() - scale, ".");
  number.words = {sign + plain, sign + plain + "00", sign + digits + exponent,
                  sign + digits + ".0E-0" + std::to_string(scale)};
  return number;
}

inline JsonValue RandomJson(JsonRandom& random, int depth) {
  JsonValue value;
  switch (random() % (depth > 0 ? 6 : 3)) {
    case 0:
      value.words = {std::vector<std::string>{"null", "true", "false"}[random() % 3]};
      break;
    case 1:
      value.kind = JsonValue::Kind::kString;
      value.string = RandomText(random);
      break;
    case 2:
      return RandomNumber(random);
    case 3:
      value.kind = JsonValue::Kind::kArray;
      for (size_t i = random() % 4; i > 0; --i) {
        value.elements.push_back(RandomJson(random, depth - 1));
      }
      break;
    default:
      value.kind = JsonValue::Kind::kObject;
      for (size_t i = random() % 6; i > 0; --i) {
        value.members[RandomText(random)] = RandomJson(random, depth - 1);
      }
  }
  return value;
}

inline std::string Utf8(const std::u16string& text) {
  std::string out;
  const auto add = [&out](unsigned byte) { out += static_cast<char>(byte); };
  for (size_t i = 0; i < text.size(); ++i) {
    uint32_t c = text[i];
    if (c >= 0xD800 && c < 0xDC00) c = 0x10000 + ((c - 0xD800) << 10) + (text[++i] - 0xDC00);
    if (c < 0x80) {
      add(c);
    } else if (c < 0x800) {
      add(0xC0 | c >> 6);
      add(0x80 | (c & 0x3F));
    } else if (c < 0x10000) {
      add(0xE0 | c >> 12);
      add(0x80 | (c >> 6 & 0x3F));
      add(0x80 | (c & 0x3F));
    } else {
      add(0xF0 | c >> 18);
      add(0x80 | (c >> 12 & 0x3F));
      add(0x80 | (c >> 6 & 0x3F));
      add(0x80 | (c & 0x3F));
    }
  }
  return out;
}

inline const std::map<char16_t, char>& ShortEscapes() {
  static const std::map<char16_t, char> kEscapes = {{u'\b', 'b'}, {u'\t', 't'}, {u'\n', 'n'},
                                                    {u'\f', 'f'}, {u'\r', 'r'}, {u'"', '"'},
                                                    {u'\\', '\\'}};
  return kEscapes;
}

inline std::string Unicode(char16_t unit, bool is_upper) {
  const char* digits = is_upper ? "0123456789ABCDEF" : "0123456789abcdef";
  std::string out = "\\u";
  for (int shift = 12; shift >= 0; shift -= 4) out += digits[unit >> shift & 0xF];
  return out;
}

inline bool IsPair(char16_t unit) { return unit >= 0xD800 && unit < 0xDC00; }

inline std::string ReferenceString(const std::u16string& text) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const auto known = ShortEscapes().find(text[i]);
    if (known != ShortEscapes().end()) {
      out += std::string("\\") + known->second;
    } else if (text[i] < 0x20) {
      out += Unicode(text[i], /*is_upper=*/false);
    } else {
      const size_t units = IsPair(text[i]) ? 2 : 1;
      out += Utf8(text.substr(i, units));
      i += units - 1;
    }
  }
  return out + "\"";
}

inline std::string Reference(const JsonValue& value) {
  std::string out;
  switch (value.kind) {
    case JsonValue::Kind::kWord:
      return value.words.front();
    case JsonValue::Kind::kString:
      return ReferenceString(value.string);
    case JsonValue::Kind::kArray:
      for (const JsonValue& element : value.elements) {
        out += (out.empty() ? "" : ",") + Reference(element);
      }
      return "[" + out + "]";
    case JsonValue::Kind::kObject:
      for (const auto& [name, member] : value.members) {
        out += (out.empty() ? "" : ",") + ReferenceString(name) + ":" + Reference(member);
      }
      return "{" + out + "}";
  }
  return out;
}

inline std::string Space(JsonRandom& random) {
  std::string space;
  for (size_t i = random() % 8; i > 5; --i) space += " \t\r\n"[random() % 4];
  return space;
}

inline std::string SpellString(const std::u16string& text, JsonRandom& random) {
  std::string out = "\"";
  for (size_t i = 0; i < text.size(); ++i) {
    const char16_t unit = text[i];
    const bool is_pair = IsPair(unit);
    const auto known = ShortEscapes().find(unit);
    const bool may_stand = unit >= 0x20 && unit != u'"' && unit != u'\\';
    const size_t way = random() % 4;
    if (way == 0 && may_stand) {
      out += Utf8(text.substr(i, is_pair ? 2 : 1));
    } else if (way == 1 && known != ShortEscapes().end()) {
      out += std::string("\\") + known->second;
    } else if (way == 1 && unit == u'/') {
      out += "\\/";
    } else {
      for (size_t j = 0; j <= (is_pair ? 1 : 0); ++j) {
        out += Unicode(text[i + j], /*is_upper=*/way == 2);
      }
    }
    if (is_pair) ++i;
  }
  return out + "\"";
}

inline std::string Spell(const JsonValue& value, JsonRandom& random) {
  std::vector<std::string> parts;
  char open = '[';
  switch (value.kind) {
    case JsonValue::Kind::kWord:
      return value.words[random() % value.words.size()];
    case JsonValue::Kind::kString:
      return SpellString(value.string, random);
    case JsonValue::Kind::kArray:
      for (const JsonValue& element : value.elements) parts.push_back(Spell(element, random));
      break;
    case JsonValue::Kind::kObject:
      open = '{';
      for (const auto& [name, member] : value.members) {
        parts.push_back(SpellString(name, random) + Space(random) + ":" + Space(random) +
                        Spell(member, random));
      }
      std::shuffle(parts.begin(), parts.end(), random);
  }
  std::string out(1, open);
  for (size_t i = 0; i < parts.size(); ++i) {
    out += (i > 0 ? "," : "") + Space(random) + parts[i] + Space(random);
  }
  return out + Space(random) + (open == '[' ? "]" : "}");
}

}  // namespace outrigger::idempotency
