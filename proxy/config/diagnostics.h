// What is wrong with a configuration, and where.
//
//   Diagnostics diagnostics;
//   diagnostics.Add(node.where, "listeners[0].address", "expected host:port, got 'x'");
//   if (!diagnostics.empty()) return std::move(diagnostics).Finish("outrigger.yaml");
//
// Everything found is collected, sorted by place and shown at once (semantics CF-2); a line reads
// `outrigger.yaml:12:14: listeners[0].address: expected host:port, got 'x'`.

#pragma once

#include <compare>
#include <string>
#include <string_view>
#include <vector>

namespace outrigger::config {

// Counted from 1, as editors do; 0:0 is a value that no file states.
struct SourceLocation {
  int line = 0;
  int column = 0;

  friend auto operator<=>(const SourceLocation&, const SourceLocation&) = default;
};

struct ConfigError {
  SourceLocation where;
  std::string path;  // of the key, for example `filters[2].retry.backoff`; empty for the whole file
  std::string message;

  friend auto operator<=>(const ConfigError&, const ConfigError&) = default;
};

struct ConfigErrors {
  std::string file;
  std::vector<ConfigError> errors;  // sorted by place, never empty

  // One line for each error, without a newline after the last.
  std::string ToString() const;
};

class Diagnostics {
 public:
  void Add(SourceLocation where, std::string path, std::string message);

  bool empty() const { return errors_.empty(); }
  // Nothing more will be kept; looking further is a waste.
  bool full() const;
  // Whether what `path` names was not read as the file states it: something is wrong with it, with
  // a part of it or with what contains it.
  bool HasErrorAt(std::string_view path) const;
  const std::vector<ConfigError>& errors() const { return errors_; }

  // REQUIRES: !empty().
  ConfigErrors Finish(std::string file) &&;

 private:
  std::vector<ConfigError> errors_;
};

// The text between quotes for use in a message: shortened, unprintable bytes as \xNN.
std::string Quote(std::string_view text);

// The candidate that was probably meant, or empty if none is close to `text`.
std::string_view ClosestMatch(std::string_view text, const std::vector<std::string_view>& words);

// "a, b or c"
std::string JoinAlternatives(const std::vector<std::string_view>& words);

}  // namespace outrigger::config
