#include "filters/idempotency/canonical_json.h"

#include <algorithm>
#include <utility>

#include "filters/idempotency/json_number.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace outrigger::idempotency {
namespace {

// By UTF-16 code units, of UTF-8. That is the order of the bytes, except that characters beyond
// U+FFFF, which begin with F0 to F4, are surrogate pairs there (from D800 on), and so come before
// those from U+E000 on, which begin with EE and EF. No other byte is that large.
bool Utf16Less(std::string_view a, std::string_view b) {
  const auto [x, y] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  if (y == b.end()) return false;
  if (x == a.end()) return true;
  const auto left = static_cast<unsigned char>(*x);
  const auto right = static_cast<unsigned char>(*y);
  const bool left_is_pair = left >= 0xF0;
  const bool right_is_pair = right >= 0xF0;
  if (left >= 0xEE && right >= 0xEE && left_is_pair != right_is_pair) return left_is_pair;
  return left < right;
}

void AppendString(std::string_view text, std::string& out) {
  out += '"';
  size_t begin = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, begin, i - begin);
    begin = i + 1;
    static constexpr std::string_view kShort = "\b\t\n\f\r\"\\";
    static constexpr std::string_view kLetters = "btnfr\"\\";
    const size_t known = kShort.find(text[i]);
    if (known != kShort.npos) {
      out += '\\';
      out += kLetters[known];
    } else {
      fmt::format_to(std::back_inserter(out), "\\u{:04x}", c);
    }
  }
  out.append(text, begin);
  out += '"';
}

// Writes the form while the parser reads: each value where it stands, each with a comma behind it
// until its object or array ends, and an object's members in order once they are all there. False
// from any of its functions stops the parser.
class Writer final : public nlohmann::json_sax<nlohmann::json> {
 public:
  Writer(std::string_view text, const JsonRules& rules) : rules_(rules) {
    out_.reserve(text.size());
  }

  std::string TakeForm() { return std::move(out_); }

  bool null() override { return Literal("null"); }
  bool boolean(bool value) override { return Literal(value ? "true" : "false"); }
  bool number_integer(number_integer_t value) override {
    if (is_removing_) return EndValue();
    if (value >= -kMaxSafe && value <= kMaxSafe) {
      fmt::format_to(std::back_inserter(out_), "{}", value);
      return EndValue();
    }
    return Number(static_cast<double>(value), std::to_string(value));
  }
  bool number_unsigned(number_unsigned_t value) override {
    if (value <= static_cast<uint64_t>(kMaxSafe)) {
      return number_integer(static_cast<number_integer_t>(value));
    }
    return Number(static_cast<double>(value), std::to_string(value));
  }
  bool number_float(number_float_t value, const string_t& text) override {
    return Number(value, text);
  }
  bool string(string_t& value) override {
    if (!is_removing_) AppendString(value, out_);
    return EndValue();
  }
  bool binary(binary_t&) override { return false; }  // no JSON text has any

  bool start_object(std::size_t) override { return Begin('{', /*is_array=*/false); }
  bool start_array(std::size_t) override { return Begin('[', /*is_array=*/true); }

  bool key(string_t& name) override {
    if (is_removing_) return true;
    Frame& frame = frames_.back();
    const uint32_t text_begin = Offset(out_);
    members_.push_back({Offset(keys_), static_cast<uint32_t>(name.size()), text_begin, text_begin});
    keys_ += name;
    const IgnoredMembers::Step step =
        rules_.ignored.EnterMember(frame.pointers, frames_.size() - 1, name);
    is_removing_ = step.is_ignored;
    frame.below = step.below;
    if (is_removing_) return true;
    AppendString(name, out_);
    out_ += ':';
    return true;
  }

  bool end_object() override {
    if (removed_depth_ > 0) return EndRemoved();
    const Frame& frame = frames_.back();
    if (!SortMembers(frame)) return false;
    members_.resize(frame.first_member);
    keys_.resize(frame.first_key);
    return End('}');
  }
  bool end_array() override { return removed_depth_ > 0 ? EndRemoved() : End(']'); }

  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  // Up to here every whole number is a double of its own, and is written alike in both.
  static constexpr int64_t kMaxSafe = (int64_t{1} << 53) - 1;

  // An object or array that has begun.
  struct Frame {
    bool is_array = false;
    size_t text_begin = 0;  // of its bracket, in out_
    size_t first_member = 0;
    size_t first_key = 0;
    uint64_t index = 0;                // of the array's next element
    IgnoredMembers::Set pointers = 0;  // that lead here
    IgnoredMembers::Set below = 0;     // that lead on to the member under way
  };
  // `text` is the member in out_ with the comma behind it; of an ignored one it is empty.
  struct Member {
    uint32_t key_begin = 0;  // in keys_
    uint32_t key_size = 0;
    uint32_t text_begin = 0;
    uint32_t text_end = 0;
  };

  static uint32_t Offset(const std::string& text) { return static_cast<uint32_t>(text.size()); }

  bool Literal(std::string_view word) {
    if (!is_removing_) out_ += word;
    return EndValue();
  }

  bool Number(double value, const std::string& text) {
    if (!is_removing_) {
      if (!KeepsItsValue(text, value)) return false;
      AppendJsonNumber(value, out_);
    }
    return EndValue();
  }

  bool Begin(char bracket, bool is_array) {
    if (frames_.size() + removed_depth_ == kMaxJsonDepth) return false;
    if (is_removing_) {
      ++removed_depth_;
      return true;
    }
    IgnoredMembers::Set pointers = rules_.ignored.all();
    if (!frames_.empty()) {
      const Frame& parent = frames_.back();
      pointers = parent.is_array ? rules_.ignored.EnterElement(parent.pointers, frames_.size() - 1,
                                                               parent.index)
                                 : parent.below;
    }
    frames_.push_back({.is_array = is_array,
                       .text_begin = out_.size(),
                       .first_member = members_.size(),
                       .first_key = keys_.size(),
                       .pointers = pointers});
    out_ += bracket;
    return true;
  }

  bool End(char bracket) {
    const bool is_empty = out_.size() == frames_.back().text_begin + 1;
    if (is_empty) {
      out_ += bracket;
    } else {
      out_.back() = bracket;  // in place of the last comma
    }
    frames_.pop_back();
    return EndValue();
  }

  bool EndRemoved() {
    --removed_depth_;
    return EndValue();
  }

  bool EndValue() {
    if (removed_depth_ > 0) return true;
    if (!frames_.empty()) {
      Frame& frame = frames_.back();
      if (!is_removing_) out_ += ',';
      if (frame.is_array) {
        ++frame.index;
      } else {
        members_.back().text_end = Offset(out_);
      }
    }
    is_removing_ = false;
    return out_.size() <= rules_.max_bytes;
  }

  std::string_view NameOf(const Member& member) const {
    return std::string_view(keys_).substr(member.key_begin, member.key_size);
  }

  // False: a name is there twice.
  bool SortMembers(const Frame& frame) {
    const auto begin = members_.begin() + static_cast<ptrdiff_t>(frame.first_member);
    const auto less = [this](const Member& a, const Member& b) {
      return Utf16Less(NameOf(a), NameOf(b));
    };
    const auto is_not_less = [&](const Member& a, const Member& b) { return !less(a, b); };
    if (std::adjacent_find(begin, members_.end(), is_not_less) == members_.end()) return true;
    std::sort(begin, members_.end(), less);
    if (std::adjacent_find(begin, members_.end(), is_not_less) != members_.end()) return false;
    sorted_.clear();
    for (auto member = begin; member != members_.end(); ++member) {
      sorted_.append(out_, member->text_begin, member->text_end - member->text_begin);
    }
    out_.replace(frame.text_begin + 1, out_.npos, sorted_);
    return true;
  }

  const JsonRules& rules_;
  std::string out_;
  std::vector<Frame> frames_;
  // Of the objects that have begun, outermost first.
  std::vector<Member> members_;
  std::string keys_;
  std::string sorted_;
  // Within the value of an ignored member, and how deep in it.
  bool is_removing_ = false;
  size_t removed_depth_ = 0;
};

}  // namespace

IgnoredMembers::IgnoredMembers(std::vector<JsonPointer> pointers) : pointers_(std::move(pointers)) {
  for (size_t i = 0; i < pointers_.size(); ++i) all_ |= Set{1} << i;
}

IgnoredMembers::Step IgnoredMembers::EnterMember(Set from, size_t depth,
                                                 std::string_view name) const {
  Step step;
  for (size_t i = 0; i < pointers_.size(); ++i) {
    if ((from >> i & 1) == 0 || pointers_[i][depth] != name) continue;
    if (pointers_[i].size() == depth + 1) {
      step.is_ignored = true;
    } else {
      step.below |= Set{1} << i;
    }
  }
  return step;
}

IgnoredMembers::Set IgnoredMembers::EnterElement(Set from, size_t depth, uint64_t index) const {
  if (from == 0) return 0;
  return EnterMember(from, depth, fmt::format_int(index).str()).below;
}

std::optional<std::string> CanonicalJson(std::string_view text, const JsonRules& rules) {
  if (text.size() > rules.max_bytes) return std::nullopt;
  // The parser takes the first zero byte for the end of the text, and skips a byte order mark.
  // Neither can be in JSON (RFC 8259, 7 and 8.1).
  if (text.find('\0') != text.npos || text.starts_with("\xEF\xBB\xBF")) return std::nullopt;
  Writer writer(text, rules);
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &writer)) return std::nullopt;
  return writer.TakeForm();
}

}  // namespace outrigger::idempotency
