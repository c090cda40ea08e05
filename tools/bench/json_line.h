// One flat JSON object on one line, for the driver to read.
//
//   JsonLine().Add("requests", 10).Add("mode", "closed").Print();
//
// Texts are written as they are: no caller has one that needs escaping.

#pragma once

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace outrigger::bench {

class JsonLine {
 public:
  JsonLine& Add(std::string_view name, std::string_view text) {
    Name(name) += '"';
    text_.append(text) += '"';
    return *this;
  }
  JsonLine& Add(std::string_view name, uint64_t value) {
    Name(name) += std::to_string(value);
    return *this;
  }
  JsonLine& Add(std::string_view name, int64_t value) {
    Name(name) += std::to_string(value);
    return *this;
  }
  JsonLine& Add(std::string_view name, double value) {
    char digits[64];
    std::snprintf(digits, sizeof digits, "%.6f", value);
    Name(name) += digits;
    return *this;
  }
  void Print() const {
    std::printf("{%s}\n", text_.c_str());
    std::fflush(stdout);
  }

 private:
  std::string& Name(std::string_view name) {
    if (!text_.empty()) text_ += ',';
    text_ += '"';
    text_.append(name) += "\":";
    return text_;
  }

  std::string text_;
};

}  // namespace outrigger::bench
