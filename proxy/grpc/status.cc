#include "proxy/grpc/status.h"

#include <algorithm>
#include <iterator>

namespace outrigger::grpc {
namespace {

struct Meaning {
  std::string_view name;
  int http_status;
};

constexpr Meaning kMeanings[] = {
    {"OK", 200},
    {"CANCELLED", 499},
    {"UNKNOWN", 500},
    {"INVALID_ARGUMENT", 400},
    {"DEADLINE_EXCEEDED", 504},
    {"NOT_FOUND", 404},
    {"ALREADY_EXISTS", 409},
    {"PERMISSION_DENIED", 403},
    {"RESOURCE_EXHAUSTED", 429},
    {"FAILED_PRECONDITION", 400},
    {"ABORTED", 409},
    {"OUT_OF_RANGE", 400},
    {"UNIMPLEMENTED", 501},
    {"INTERNAL", 500},
    {"UNAVAILABLE", 503},
    {"DATA_LOSS", 500},
    {"UNAUTHENTICATED", 401},
};
static_assert(std::size(kMeanings) == kCodeCount);

// More than any status that somebody may have invented.
constexpr size_t kMaxDigits = 6;

bool IsDefined(int code) { return code >= 0 && code < kCodeCount; }

}  // namespace

int ParseStatus(std::string_view text) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (text.empty() || text.size() > kMaxDigits) return kUnknown;
  if (!std::all_of(text.begin(), text.end(), is_digit)) return kUnknown;
  int code = 0;
  for (const char c : text) code = code * 10 + (c - '0');
  return code;
}

std::optional<int> StatusIn(const http::HeaderList& fields) {
  const auto value = fields.Get(http::HeaderId::kGrpcStatus);
  if (!value.has_value()) return std::nullopt;
  return ParseStatus(*value);
}

std::string_view CodeName(int code) {
  return IsDefined(code) ? kMeanings[code].name : std::string_view();
}

int HttpStatusOf(int code) { return IsDefined(code) ? kMeanings[code].http_status : 500; }

}  // namespace outrigger::grpc
