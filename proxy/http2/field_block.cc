#include "proxy/http2/field_block.h"

#include <charconv>

#include "proxy/http1/chars.h"
#include "proxy/http1/field_line.h"
#include "proxy/http1/framing.h"

namespace outrigger::http2 {

using http::HeaderField;
using http::HeaderId;
using http::HeaderIdSet;

namespace {

constexpr HeaderIdSet kNeverForwarded(HeaderId::kConnection, HeaderId::kKeepAlive,
                                      HeaderId::kProxyConnection, HeaderId::kProxyAuthenticate,
                                      HeaderId::kProxyAuthorization, HeaderId::kTe,
                                      HeaderId::kTransferEncoding, HeaderId::kUpgrade,
                                      HeaderId::kContentLength);

bool IsSafe(const HeaderField& field) {
  return http1::HasTokenName(field) && http1::IsFieldValue(field.value) &&
         http::TrimOws(field.value).size() == field.value.size();
}

uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
}

std::string_view Text(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

void FieldBlock::Add(std::string_view name, std::string_view value) {
  fields_.push_back({Bytes(name), Bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
}

void FieldBlock::AddStatus(int status) {
  std::to_chars(status_, status_ + sizeof status_, status);
  Add(":status", {status_, sizeof status_});
}

void FieldBlock::AddContentLength(uint64_t length) {
  const auto end = std::to_chars(length_, length_ + sizeof length_, length).ptr;
  Add("content-length", {length_, static_cast<size_t>(end - length_)});
}

bool FieldBlock::AddFields(const http::HeaderList& headers, HeaderIdSet skipped) {
  const HeaderIdSet left_out = kNeverForwarded.With(skipped);
  const bool has_connection = headers.Has(HeaderId::kConnection);
  for (const HeaderField& field : headers) {
    if (left_out.Contains(field.id)) continue;
    if (has_connection && http1::IsNominated(headers, field)) continue;
    if (!IsSafe(field)) return false;
    Add(field.name, field.value);
  }
  return true;
}

void FieldBlock::MarkVarying(FieldRepetition& repetition) {
  for (nghttp2_nv& field : fields_) {
    if (!repetition.IsRepeated(Text(field.name, field.namelen),
                               Text(field.value, field.valuelen))) {
      field.flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    }
  }
}

bool FieldBlock::AddTrailers(const http::HeaderList& trailers) {
  for (const HeaderField& field : trailers) {
    if (!IsSafe(field)) return false;
    Add(field.name, field.value);
  }
  return true;
}

}  // namespace outrigger::http2
