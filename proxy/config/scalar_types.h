// Types of values that are one piece of text: numbers, durations, sizes, names, addresses, words.

#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "fmt/format.h"
#include "proxy/config/address.h"
#include "proxy/config/units.h"
#include "proxy/config/value_type.h"

namespace outrigger::config {

// Base of the types in this file: a subclass says what a scalar means.
template <class V>
class ScalarType : public ValueType<V> {
 public:
  void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
             V& value) const final {
    if (!node.is_scalar()) {
      diagnostics.Add(node.where, path, Mismatch(node));
      return;
    }
    absl::StatusOr<V> read = Read(node);
    if (read.ok()) {
      value = *std::move(read);
    } else {
      diagnostics.Add(node.where, path, std::string(read.status().message()));
    }
  }

 protected:
  virtual absl::StatusOr<V> Read(const Node& scalar) const = 0;
  virtual std::string Mismatch(const Node& node) const {
    return fmt::format("expected {}, got {}", this->Text(), node.Describe());
  }
};

struct DurationRange {
  absl::Duration min = absl::Milliseconds(1);
  absl::Duration max = absl::Hours(24) * 365;
};
Type<absl::Duration> DurationType(DurationRange range = {});

struct SizeRange {
  size_t min = 0;
  size_t max = size_t{64} << 30;
};
Type<size_t> SizeType(SizeRange range = {});

struct CountRange {
  int64_t min = 0;
  int64_t max = std::numeric_limits<int32_t>::max();
};
Type<int64_t> CountType(CountRange range);

struct NumberRange {
  double min = 0;
  double max = 1e9;
};
Type<double> NumberType(NumberRange range);  // decimals allowed

Type<double> RatioType();                      // 0 to 1
Type<double> RatioType(double min_exclusive);  // greater than `min_exclusive`, at most 1
Type<RateSpec> RateType();
Type<bool> BoolType();
Type<Address> AddressType(AddressUse use);

// Text that `read` accepts, and may normalise. Its error may be without a message, which stands for
// "expected <what>, got ...". `pattern` tells JSON Schema about the same; empty: any text. The
// empty string stands for "not stated" and is not dumped.
using ReadText = absl::StatusOr<std::string> (*)(std::string_view);
Type<std::string> TextType(std::string what, std::string pattern, ReadText read);

Type<std::string> NameType();        // letters, digits and ._- : names of routes and the like
Type<std::string> HeaderNameType();  // a token of RFC 9110; becomes lower case
Type<std::string> HeaderValueType();
Type<std::string> MethodType();
Type<std::string> PathType();          // in the normal form of semantics RU-5
Type<std::string> PathTemplateType();  // the same, where `*` or `{name}` stands for one segment
Type<std::string> MediaTypeType();     // type/subtype or type/*
Type<std::string> FileType();          // an absolute path on this machine
Type<std::string> HostNameType();
Type<std::string> UpgradeType();      // a protocol of Upgrade; becomes lower case
Type<std::string> JsonPointerType();  // of a member, so not empty
Type<std::string> SanRuleType();      // a name in certificates, as tls::SanRule reads it

// Accepts `none` alone: the key exists, its other values do not yet.
Type<std::monostate> NoneYetType();

// A word from a closed list. `later` are words that are refused as "not supported yet".
template <class E>
struct Word {
  std::string_view text;
  E value;
};

namespace internal {
// The parts of EnumType that do not depend on E.
Json EnumValues(const std::vector<std::string_view>& words);
std::string EnumMismatch(const Node& node, const std::vector<std::string_view>& words,
                         const std::vector<std::string_view>& later);
}  // namespace internal

template <class E>
class EnumType final : public ValueType<E> {
 public:
  EnumType(std::vector<Word<E>> words, std::vector<std::string_view> later)
      : words_(std::move(words)), later_(std::move(later)) {}

  void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
             E& value) const override {
    if (node.is_scalar()) {
      for (const Word<E>& word : words_) {
        if (word.text != node.text) continue;
        value = word.value;
        return;
      }
    }
    diagnostics.Add(node.where, path, internal::EnumMismatch(node, Texts(), later_));
  }

  Json Dump(const E& value) const override {
    for (const Word<E>& word : words_) {
      if (word.value == value) return word.text;
    }
    return nullptr;
  }

  Json Schema(Json& /*definitions*/) const override {
    return {{"enum", internal::EnumValues(Texts())}};
  }
  std::string Text() const override { return JoinAlternatives(Texts()); }

 private:
  std::vector<std::string_view> Texts() const {
    std::vector<std::string_view> texts;
    for (const Word<E>& word : words_) texts.push_back(word.text);
    return texts;
  }

  std::vector<Word<E>> words_;
  std::vector<std::string_view> later_;
};

template <class E>
Type<E> OneWordOf(std::vector<Word<E>> words, std::vector<std::string_view> later = {}) {
  return std::make_shared<EnumType<E>>(std::move(words), std::move(later));
}

}  // namespace outrigger::config
