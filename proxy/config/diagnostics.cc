#include "proxy/config/diagnostics.h"

#include <algorithm>
#include <utility>

#include "fmt/format.h"

namespace outrigger::config {
namespace {

// A file of garbage has an error on every line; nobody reads more than this.
constexpr size_t kMaxErrors = 1000;
constexpr size_t kMaxQuotedBytes = 60;

// Insertions, deletions, substitutions and swaps of neighbours that lead from `a` to `b`.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> before_last(b.size() + 1);
  std::vector<size_t> last(b.size() + 1);
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before_last, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t substitute = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({substitute, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

}  // namespace

std::string ConfigErrors::ToString() const {
  std::string text;
  for (const ConfigError& error : errors) {
    if (!text.empty()) text += '\n';
    text += file;
    if (error.where.line > 0) text += fmt::format(":{}:{}", error.where.line, error.where.column);
    text += ": ";
    if (!error.path.empty()) text += error.path + ": ";
    text += error.message;
  }
  return text;
}

bool Diagnostics::full() const { return errors_.size() > kMaxErrors; }

bool Diagnostics::HasErrorAt(std::string_view path) const {
  const auto contains = [](std::string_view outer, std::string_view inner) {
    if (outer.empty() || !inner.starts_with(outer)) return outer.empty();
    return inner.size() == outer.size() || inner[outer.size()] == '.' || inner[outer.size()] == '[';
  };
  return std::any_of(errors_.begin(), errors_.end(), [&](const ConfigError& error) {
    return contains(error.path, path) || contains(path, error.path);
  });
}

void Diagnostics::Add(SourceLocation where, std::string path, std::string message) {
  if (full()) return;
  if (errors_.size() == kMaxErrors) {
    errors_.push_back({where, "", "too many errors, the rest is not shown"});
    return;
  }
  errors_.push_back({where, std::move(path), std::move(message)});
}

ConfigErrors Diagnostics::Finish(std::string file) && {
  std::sort(errors_.begin(), errors_.end());
  // An alias repeats the errors of what it stands for.
  errors_.erase(std::unique(errors_.begin(), errors_.end()), errors_.end());
  return {std::move(file), std::move(errors_)};
}

std::string Quote(std::string_view text) {
  std::string quoted = "'";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    // Stop before a character, never inside one.
    if (quoted.size() >= kMaxQuotedBytes && (byte & 0xC0) != 0x80) {
      quoted += "...";
      break;
    }
    if (byte < 0x20 || byte == 0x7F) {
      quoted += fmt::format("\\x{:02x}", byte);
    } else {
      quoted += c;
    }
  }
  quoted += '\'';
  return quoted;
}

std::string_view ClosestMatch(std::string_view text, const std::vector<std::string_view>& words) {
  constexpr size_t kLongestKey = 40;
  if (text.size() > kLongestKey) return {};
  std::string_view best;
  size_t best_distance = std::max<size_t>(1, text.size() / 3) + 1;
  for (const std::string_view word : words) {
    const size_t distance = EditDistance(text, word);
    if (distance < best_distance && distance < word.size()) {
      best = word;
      best_distance = distance;
    }
  }
  return best;
}

std::string JoinAlternatives(const std::vector<std::string_view>& words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? " or " : ", ";
    text += words[i];
  }
  return text;
}

}  // namespace outrigger::config
