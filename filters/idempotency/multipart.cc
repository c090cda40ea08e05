#include "filters/idempotency/multipart.h"

#include <algorithm>

#include "filters/idempotency/media_type.h"

namespace outrigger::idempotency {
namespace {

constexpr size_t kMaxBoundaryBytes = 70;

// bchars of RFC 2046, 5.1.1.
bool IsBoundaryChar(char c) {
  return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
         std::string_view("'()+_,-./:=? ").find(c) != std::string_view::npos;
}

}  // namespace

std::optional<std::string_view> FindBoundary(std::string_view content_type) {
  const MediaType type(content_type);
  if (!type.IsMultipart()) return std::nullopt;
  std::optional<std::string_view> found;
  MediaType::Parameters parameters = type.parameters();
  while (parameters.Next()) {
    if (!http::EqualsIgnoreCase(parameters.name(), "boundary")) continue;
    // Two boundaries: which one the service obeys is anybody's guess.
    if (found.has_value()) return std::nullopt;
    found = parameters.value();
  }
  if (parameters.malformed() || !found.has_value() || found->empty() ||
      found->size() > kMaxBoundaryBytes || found->back() == ' ' ||
      !std::all_of(found->begin(), found->end(), IsBoundaryChar)) {
    return std::nullopt;
  }
  return found;
}

BoundaryRemover::BoundaryRemover(std::string_view boundary) {
  delimiter_.reserve(4 + boundary.size());
  delimiter_.append("\r\n--").append(boundary);
}

}  // namespace outrigger::idempotency
