// A Content-Type value in its parts (RFC 9110, 8.3.1), for comparing two requests' media types.
//
//   const MediaType type("Multipart/Form-Data; boundary=x");
//   type.essence();        // "Multipart/Form-Data"
//   for (MediaType::Parameters p = type.parameters(); p.Next();) Use(p.name(), p.value());
//
// Views into the value; nothing allocates. Values in quotes are given without them; a parameter
// that is malformed, or has escapes in its quotes, ends the iteration with malformed() true.

#pragma once

#include <string_view>

#include "proxy/http/headers.h"

namespace outrigger::idempotency {

class MediaType {
 public:
  explicit MediaType(std::string_view value) : value_(http::TrimOws(value)) {
    essence_ = http::TrimOws(value_.substr(0, value_.find(';')));
  }

  std::string_view value() const { return value_; }
  // type "/" subtype, in the case received.
  std::string_view essence() const { return essence_; }
  bool IsMultipart() const {
    constexpr std::string_view kPrefix = "multipart/";
    return http::EqualsIgnoreCase(essence_.substr(0, kPrefix.size()), kPrefix);
  }
  // application/json, or a type that says by its suffix that it is JSON (RFC 6839, 3.1).
  bool IsJson() const {
    constexpr std::string_view kSuffix = "+json";
    if (http::EqualsIgnoreCase(essence_, "application/json")) return true;
    return essence_.size() > kSuffix.size() &&
           http::EqualsIgnoreCase(essence_.substr(essence_.size() - kSuffix.size()), kSuffix);
  }

  class Parameters {
   public:
    explicit Parameters(std::string_view rest) : rest_(rest) {}

    // Moves to the next parameter; false at the end.
    bool Next() {
      for (;;) {
        SkipSpace();
        if (rest_.empty()) return false;
        if (rest_.front() != ';') return Malformed();
        rest_.remove_prefix(1);
        SkipSpace();
        // RFC 9110 lets a sender write empty parameters ("a/b; ;c=d").
        if (rest_.empty() || rest_.front() == ';') continue;
        return ReadOne();
      }
    }
    std::string_view name() const { return name_; }
    std::string_view value() const { return value_; }
    bool malformed() const { return malformed_; }

   private:
    void SkipSpace() {
      while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t')) {
        rest_.remove_prefix(1);
      }
    }
    bool Malformed() {
      malformed_ = true;
      rest_ = {};
      return false;
    }
    bool ReadOne() {
      const size_t equals = rest_.find_first_of("=; \t\"");
      if (equals == 0 || equals == rest_.npos || rest_[equals] != '=') return Malformed();
      name_ = rest_.substr(0, equals);
      rest_.remove_prefix(equals + 1);
      if (!rest_.empty() && rest_.front() == '"') {
        const size_t end = rest_.find_first_of("\"\\", 1);
        if (end == rest_.npos || rest_[end] == '\\') return Malformed();
        value_ = rest_.substr(1, end - 1);
        rest_.remove_prefix(end + 1);
        return true;
      }
      const size_t end = rest_.find_first_of("; \t");
      value_ = rest_.substr(0, end);
      rest_.remove_prefix(value_.size());
      return true;
    }

    std::string_view rest_;
    std::string_view name_;
    std::string_view value_;
    bool malformed_ = false;
  };

  Parameters parameters() const {
    const size_t semicolon = value_.find(';');
    return Parameters(semicolon == value_.npos ? std::string_view() : value_.substr(semicolon));
  }

 private:
  std::string_view value_;
  std::string_view essence_;
};

}  // namespace outrigger::idempotency
