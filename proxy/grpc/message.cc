#include "proxy/grpc/message.h"

namespace outrigger::grpc {
namespace {

bool IsPlain(char c) { return c >= ' ' && c <= '~' && c != '%'; }

}  // namespace

std::string_view EncodeMessage(std::string_view text, Arena& arena) {
  const auto is_inner = [&text](size_t i) { return i != 0 && i + 1 != text.size(); };
  const auto stays = [&](size_t i) { return IsPlain(text[i]) && (text[i] != ' ' || is_inner(i)); };
  size_t encoded = 0;
  for (size_t i = 0; i < text.size(); ++i) encoded += stays(i) ? 0 : 1;
  if (encoded == 0) return text;

  constexpr char kHex[] = "0123456789ABCDEF";
  char* const begin = arena.Allocate(text.size() + 2 * encoded);
  char* out = begin;
  for (size_t i = 0; i < text.size(); ++i) {
    if (stays(i)) {
      *out++ = text[i];
      continue;
    }
    const auto byte = static_cast<unsigned char>(text[i]);
    *out++ = '%';
    *out++ = kHex[byte >> 4];
    *out++ = kHex[byte & 15];
  }
  return {begin, static_cast<size_t>(out - begin)};
}

}  // namespace outrigger::grpc
