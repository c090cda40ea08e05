#include "tools/bench/flags.h"

#include <cerrno>
#include <cstdlib>
#include <optional>

#include "tools/bench/net.h"

namespace outrigger::bench {
namespace {

[[noreturn]] void Refuse(const std::string& text) {
  errno = 0;
  Die(text);
}

}  // namespace

Flags::Flags(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (!word.starts_with("--")) Refuse("unexpected argument " + std::string(word));
    Value& value = values_[std::string(word.substr(2))];
    if (i + 1 < argc && !std::string_view(argv[i + 1]).starts_with("--")) value.text = argv[++i];
  }
}

std::string Flags::Text(const std::string& name, std::string_view otherwise) {
  const auto found = values_.find(name);
  if (found == values_.end()) return std::string(otherwise);
  found->second.is_known = true;
  return found->second.text;
}

int64_t Flags::Int(const std::string& name, int64_t otherwise) {
  const std::string text = Text(name, std::to_string(otherwise));
  char* end = nullptr;
  const int64_t value = std::strtoll(text.c_str(), &end, 10);
  if (text.empty() || *end != '\0' || value < 0) Refuse("--" + name + ": not a count: " + text);
  return value;
}

double Flags::Real(const std::string& name, double otherwise) {
  const std::string text = Text(name, std::to_string(otherwise));
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= 0))
    Refuse("--" + name + ": not a number: " + text);
  return value;
}

bool Flags::Switch(const std::string& name) {
  const auto found = values_.find(name);
  if (found == values_.end()) return false;
  found->second.is_known = true;
  if (!found->second.text.empty()) Refuse("--" + name + " takes no value");
  return true;
}

sockaddr_in Flags::Address(const std::string& name, std::string_view otherwise) {
  const std::string text = Text(name, otherwise);
  const std::optional<sockaddr_in> address = ParseAddress(text);
  if (!address) Refuse("--" + name + ": not an address such as 127.0.0.1:8000: '" + text + "'");
  return *address;
}

void Flags::RefuseUnknown() const {
  for (const auto& [name, value] : values_) {
    if (!value.is_known) Refuse("unknown flag --" + name);
  }
}

}  // namespace outrigger::bench
