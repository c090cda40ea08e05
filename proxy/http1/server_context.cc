#include "proxy/http1/server_context.h"

#include <algorithm>
#include <cctype>

namespace outrigger::http1 {

std::optional<uint64_t> ServerContext::MaxBodyBytes(const http::HeaderList& headers) const {
  if (max_body_by_type == nullptr) return max_body_bytes;
  const http::HeaderField* type = headers.Find(http::HeaderId::kContentType);
  if (type == nullptr) return max_body_bytes;
  const std::string_view essence = http::TrimOws(type->value.substr(0, type->value.find(';')));
  std::string name(essence);
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto found = max_body_by_type->find(name);
  return found == max_body_by_type->end() ? max_body_bytes : found->second;
}

}  // namespace outrigger::http1
