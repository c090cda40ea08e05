#include "tools/bench/request.h"

#include <cinttypes>
#include <cstdio>

namespace outrigger::bench {
namespace {

constexpr std::string_view kBrowserFields =
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/126.0.0.0 Safari/537.36\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Referer: http://bench.local/chat/history?page=2\r\n"
    "Cookie: session=0123456789abcdef; theme=dark; lang=en\r\n";
constexpr size_t kCounterDigits = 12;
constexpr size_t kSeedDigits = 16;
constexpr size_t kKeySize = kSeedDigits + 1 + kCounterDigits;

std::string JsonBody(size_t size) {
  const std::string start = "{\"model\":\"bench\",\"prompt\":\"";
  const std::string end = "\"}";
  const size_t frame = start.size() + end.size();
  return start + std::string(size > frame ? size - frame : 0, 'x') + end;
}

}  // namespace

RequestTemplate::RequestTemplate(const RequestOptions& options) {
  bytes_ = options.method + " " + options.path + " HTTP/1.1\r\nHost: " + options.authority + "\r\n";
  if (!options.is_bare) bytes_ += kBrowserFields;
  if (!options.authorization.empty()) bytes_ += "Authorization: " + options.authorization + "\r\n";
  if (options.has_unique_key) {
    char seed[kSeedDigits + 1];
    std::snprintf(seed, sizeof seed, "%016" PRIx64, options.key_seed);
    bytes_ += "Idempotency-Key: ";
    key_at_ = bytes_.size();
    bytes_ += std::string(seed) + "-" + std::string(kCounterDigits, '0') + "\r\n";
  }
  const std::string body = options.body_bytes > 0 ? JsonBody(options.body_bytes) : "";
  if (options.body_bytes > 0) bytes_ += "Content-Type: application/json\r\n";
  if (options.body_bytes > 0 || options.method == "POST") {
    bytes_ += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  }
  bytes_ += "\r\n" + body;
}

std::string_view RequestTemplate::Next() {
  if (key_at_ != 0) {
    uint64_t counter = next_key_++;
    char* digit = bytes_.data() + key_at_ + kKeySize;
    for (size_t i = 0; i < kCounterDigits; ++i, counter /= 10) {
      *--digit = static_cast<char>('0' + counter % 10);
    }
  }
  return bytes_;
}

std::string_view RequestTemplate::LastKey() const {
  if (key_at_ == 0) return {};
  return std::string_view(bytes_).substr(key_at_, kKeySize);
}

}  // namespace outrigger::bench
