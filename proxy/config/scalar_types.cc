#include "proxy/config/scalar_types.h"

#include <algorithm>
#include <array>

#include "absl/strings/ascii.h"

namespace outrigger::config {
namespace {

absl::Status Invalid(const std::string& message) { return absl::InvalidArgumentError(message); }

absl::Status OutOfRange(const std::string& range, const Node& scalar) {
  return Invalid(fmt::format("must be {}, got {}", range, scalar.Describe()));
}

// Numbers in quotes are text to YAML, to Helm and to JSON Schema.
absl::Status RefuseQuotes(const std::string& expected, const Node& scalar) {
  return Invalid(
      fmt::format("expected {}, got the text \"{}\"; remove the quotes", expected, scalar.text));
}

bool IsYamlBoolean(std::string_view text) {
  constexpr std::array<std::string_view, 8> kWords = {"on",   "off",   "yes", "no",
                                                      "true", "false", "y",   "n"};
  return std::find(kWords.begin(), kWords.end(), absl::AsciiStrToLower(std::string(text))) !=
         kWords.end();
}

class Duration final : public ScalarType<absl::Duration> {
 public:
  explicit Duration(DurationRange range) : range_(range) {}

  Json Dump(const absl::Duration& value) const override { return DurationText(value); }
  Json Schema(Json& /*definitions*/) const override {
    return {{"type", {"string", "integer"}},
            {"pattern", R"(^(0|([0-9]+(\.[0-9]+)?(d|h|ms|m|s|us))+)$)"},
            {"minimum", 0},
            {"maximum", 0}};
  }
  std::string Text() const override { return "a duration " + Range(); }

 protected:
  absl::StatusOr<absl::Duration> Read(const Node& scalar) const override {
    absl::StatusOr<absl::Duration> duration = ParseDuration(scalar.text);
    if (duration.ok() && (*duration < range_.min || *duration > range_.max)) {
      return OutOfRange(Range(), scalar);
    }
    return duration;
  }

 private:
  std::string Range() const {
    return fmt::format("from {} to {}", DurationText(range_.min), DurationText(range_.max));
  }
  DurationRange range_;
};

class Size final : public ScalarType<size_t> {
 public:
  explicit Size(SizeRange range) : range_(range) {}

  Json Dump(const size_t& value) const override { return SizeText(value); }
  Json Schema(Json& /*definitions*/) const override {
    return {{"type", {"string", "integer"}},
            {"pattern", "^[0-9]+(B|kB|KiB|MB|MiB|GB|GiB)?$"},
            {"minimum", range_.min},
            {"maximum", range_.max}};
  }
  std::string Text() const override { return "a size " + Range(); }

 protected:
  absl::StatusOr<size_t> Read(const Node& scalar) const override {
    absl::StatusOr<size_t> size = ParseSize(scalar.text);
    if (size.ok() && (*size < range_.min || *size > range_.max)) {
      return OutOfRange(Range(), scalar);
    }
    return size;
  }

 private:
  std::string Range() const {
    return fmt::format("from {} to {}", SizeText(range_.min), SizeText(range_.max));
  }
  SizeRange range_;
};

class Count final : public ScalarType<int64_t> {
 public:
  explicit Count(CountRange range) : range_(range) {}

  Json Dump(const int64_t& value) const override { return value; }
  Json Schema(Json& /*definitions*/) const override {
    return {{"type", "integer"}, {"minimum", range_.min}, {"maximum", range_.max}};
  }
  std::string Text() const override { return "a whole number " + Range(); }

 protected:
  absl::StatusOr<int64_t> Read(const Node& scalar) const override {
    absl::StatusOr<int64_t> count = ParseCount(scalar.text);
    if (!count.ok()) return count;
    if (scalar.quoted) return RefuseQuotes("a whole number", scalar);
    if (*count < range_.min || *count > range_.max) return OutOfRange(Range(), scalar);
    return count;
  }

 private:
  std::string Range() const { return fmt::format("from {} to {}", range_.min, range_.max); }
  CountRange range_;
};

class Number final : public ScalarType<double> {
 public:
  explicit Number(NumberRange range) : range_(range) {}

  Json Dump(const double& value) const override { return value; }
  Json Schema(Json& /*definitions*/) const override {
    return {{"type", "number"}, {"minimum", range_.min}, {"maximum", range_.max}};
  }
  std::string Text() const override { return "a number " + Range(); }

 protected:
  absl::StatusOr<double> Read(const Node& scalar) const override {
    absl::StatusOr<double> number = ParseNumber(scalar.text);
    if (!number.ok()) return number;
    if (scalar.quoted) return RefuseQuotes("a number", scalar);
    if (*number < range_.min || *number > range_.max) return OutOfRange(Range(), scalar);
    return number;
  }

 private:
  std::string Range() const { return fmt::format("from {} to {}", range_.min, range_.max); }
  NumberRange range_;
};

class Ratio final : public ScalarType<double> {
 public:
  explicit Ratio(double min_exclusive) : min_exclusive_(min_exclusive) {}

  Json Dump(const double& value) const override { return RatioText(value); }
  Json Schema(Json& /*definitions*/) const override {
    Json schema = {
        {"type", {"string", "number"}}, {"pattern", R"(^[0-9]*\.?[0-9]+%?$)"}, {"maximum", 1}};
    schema[min_exclusive_ < 0 ? "minimum" : "exclusiveMinimum"] = std::max(min_exclusive_, 0.0);
    return schema;
  }
  std::string Text() const override { return "a ratio " + Range(); }

 protected:
  absl::StatusOr<double> Read(const Node& scalar) const override {
    absl::StatusOr<double> ratio = ParseRatio(scalar.text);
    if (ratio.ok() && *ratio <= min_exclusive_) return OutOfRange(Range(), scalar);
    return ratio;
  }

 private:
  std::string Range() const {
    if (min_exclusive_ < 0) return "from 0% to 100%";
    return fmt::format("above {} and at most 100%", RatioText(min_exclusive_));
  }
  double min_exclusive_;
};

class Rate final : public ScalarType<RateSpec> {
 public:
  Json Dump(const RateSpec& value) const override { return RateText(value); }
  Json Schema(Json& /*definitions*/) const override {
    return {{"type", "string"}, {"pattern", "^[1-9][0-9]*/([1-9][0-9]*)?(d|h|m|s|ms)$"}};
  }
  std::string Text() const override { return "a rate such as 100/s"; }

 protected:
  absl::StatusOr<RateSpec> Read(const Node& scalar) const override {
    constexpr int64_t kMaxCount = 1'000'000'000;
    absl::StatusOr<RateSpec> rate = ParseRate(scalar.text);
    if (!rate.ok()) return rate;
    if (rate->count < 1 || rate->count > kMaxCount) {
      return OutOfRange(fmt::format("from 1 to {} per interval", kMaxCount), scalar);
    }
    if (rate->per < absl::Milliseconds(1) || rate->per > absl::Hours(24)) {
      return OutOfRange("per interval of 1ms to 24h", scalar);
    }
    return rate;
  }
};

class Bool final : public ScalarType<bool> {
 public:
  Json Dump(const bool& value) const override { return value; }
  Json Schema(Json& /*definitions*/) const override { return {{"type", "boolean"}}; }
  std::string Text() const override { return "true or false"; }

 protected:
  absl::StatusOr<bool> Read(const Node& scalar) const override {
    if (scalar.text != "true" && scalar.text != "false") return Invalid(Mismatch(scalar));
    if (scalar.quoted) return RefuseQuotes("true or false", scalar);
    return scalar.text == "true";
  }
};

class AddressText final : public ScalarType<Address> {
 public:
  explicit AddressText(AddressUse use) : use_(use) {}

  Json Dump(const Address& value) const override { return value.ToString(); }
  Json Schema(Json& /*definitions*/) const override {
    return {{"type", "string"}, {"pattern", "^(unix:/.+|.+:[0-9]{1,5})$"}};
  }
  std::string Text() const override { return "host:port, [v6]:port or unix:/path"; }

 protected:
  absl::StatusOr<Address> Read(const Node& scalar) const override {
    return ParseAddress(scalar.text, use_);
  }

 private:
  AddressUse use_;
};

class NoneYet final : public ScalarType<std::monostate> {
 public:
  Json Dump(const std::monostate& /*value*/) const override { return "none"; }
  Json Schema(Json& /*definitions*/) const override { return {{"enum", {"none"}}}; }
  std::string Text() const override { return "none"; }

 protected:
  absl::StatusOr<std::monostate> Read(const Node& scalar) const override {
    if (scalar.text == "none") return std::monostate{};
    return Invalid(Mismatch(scalar));
  }
  std::string Mismatch(const Node& node) const override {
    return fmt::format("not supported yet: {}; only none is", node.Describe());
  }
};

}  // namespace

Type<absl::Duration> DurationType(DurationRange range) { return std::make_shared<Duration>(range); }
Type<size_t> SizeType(SizeRange range) { return std::make_shared<Size>(range); }
Type<int64_t> CountType(CountRange range) { return std::make_shared<Count>(range); }
Type<double> RatioType(double min_exclusive) { return std::make_shared<Ratio>(min_exclusive); }
Type<double> NumberType(NumberRange range) { return std::make_shared<Number>(range); }
Type<double> RatioType() { return std::make_shared<Ratio>(-1); }
Type<RateSpec> RateType() { return std::make_shared<Rate>(); }
Type<bool> BoolType() { return std::make_shared<Bool>(); }
Type<Address> AddressType(AddressUse use) { return std::make_shared<AddressText>(use); }
Type<std::monostate> NoneYetType() { return std::make_shared<NoneYet>(); }

Json internal::EnumValues(const std::vector<std::string_view>& words) {
  Json values = Json::array();
  for (const std::string_view word : words) {
    values.push_back(word);
    // `unmatched: 404` is a number to whoever validates YAML by a JSON Schema.
    const absl::StatusOr<int64_t> number = ParseCount(word);
    if (number.ok()) values.push_back(*number);
  }
  return values;
}

std::string internal::EnumMismatch(const Node& node, const std::vector<std::string_view>& words,
                                   const std::vector<std::string_view>& later) {
  // `hash` as a word, or `{sqlite: {...}}` as the only key of a mapping.
  std::string_view word = node.text;
  if (node.kind == Node::Kind::kMap && node.entries.size() == 1) word = node.entries[0].key;
  if (std::find(later.begin(), later.end(), word) != later.end()) {
    return fmt::format("not supported yet: {}; use {}", Quote(word), JoinAlternatives(words));
  }
  std::string message =
      fmt::format("expected {}, got {}", JoinAlternatives(words), node.Describe());
  if (node.is_scalar() && !node.quoted && IsYamlBoolean(node.text)) {
    message += ", which YAML reads as a boolean";
  } else if (const std::string_view meant = ClosestMatch(word, words); !meant.empty()) {
    message += fmt::format("; did you mean {}?", meant);
  }
  return message;
}

}  // namespace outrigger::config
