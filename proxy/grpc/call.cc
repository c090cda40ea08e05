#include "proxy/grpc/call.h"

namespace outrigger::grpc {

bool IsGrpcMediaType(std::string_view content_type) {
  const std::string_view type = http::TrimOws(content_type.substr(0, content_type.find(';')));
  if (type.size() < kMediaType.size()) return false;
  if (!http::EqualsIgnoreCase(type.substr(0, kMediaType.size()), kMediaType)) return false;
  return type.size() == kMediaType.size() || type[kMediaType.size()] == '+';
}

bool IsCall(http::Method method, const http::HeaderList& headers) {
  if (method != http::Method::kPost) return false;
  const http::HeaderField* type = headers.Find(http::HeaderId::kContentType);
  return type != nullptr && IsGrpcMediaType(type->value);
}

}  // namespace outrigger::grpc
