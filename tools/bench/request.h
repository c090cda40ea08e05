// The bytes of the requests that bench-load sends.
//
//   RequestTemplate request({.method = "POST", .body_bytes = 1024, .has_unique_key = true});
//   std::string_view bytes = request.Next();     // valid until the next call
//
// The default head is about 400 bytes, like a browser's; `is_bare` is the smallest that is valid.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace outrigger::bench {

struct RequestOptions {
  std::string method = "GET";
  std::string path = "/";
  std::string authority = "bench.local";
  bool is_bare = false;
  size_t body_bytes = 0;        // a JSON document of this size
  std::string authorization;    // empty: none
  bool has_unique_key = false;  // a new Idempotency-Key in each request
  uint64_t key_seed = 0;        // runs with different seeds send different keys
};

class RequestTemplate {
 public:
  explicit RequestTemplate(const RequestOptions& options);

  std::string_view Next();
  // The key of the latest request; empty without has_unique_key.
  std::string_view LastKey() const;

 private:
  std::string bytes_;
  size_t key_at_ = 0;
  uint64_t next_key_ = 0;
};

}  // namespace outrigger::bench
