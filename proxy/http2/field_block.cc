#include "proxy/http2/field_block.h"

#include <algorithm>
#include <charconv>
#include <cstring>

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
  if (field.is_checked) return true;
  const std::string_view value = field.value;
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  const bool has_space = !value.empty() && (is_space(value.front()) || is_space(value.back()));
  return !has_space && http1::HasTokenName(field) && http1::IsFieldValue(value);
}

// Capital letters of ASCII in lower case. High bits mark the bytes that are capitals.
uint64_t LowerWord(uint64_t word) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHigh = kOnes * 0x80;
  const uint64_t low_bits = word & ~kHigh;
  const uint64_t from_a = low_bits + kOnes * (0x80 - 'A');
  const uint64_t above_z = low_bits + kOnes * (0x7F - 'Z');
  return word | (((from_a ^ above_z) & ~word & kHigh) >> 2);
}

uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
}

std::string_view Text(const uint8_t* bytes, size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

void FieldBlock::Push(std::string_view name, std::string_view value) {
  fields_.push_back({Bytes(name), Bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
}

bool FieldBlock::AddChecked(const HeaderField& field) {
  if (!IsSafe(field)) return false;
  Push(field.is_lower ? field.name : Lower(field.name), field.value);
  return true;
}

std::string_view FieldBlock::Lower(std::string_view name) {
  constexpr size_t kWord = sizeof(uint64_t);
  const size_t size = name.size();
  if (size > kNameBytes - names_used_) {
    raw_from_ = std::min(raw_from_, fields_.size());
    return name;
  }
  char* const lowered = names_ + names_used_;
  names_used_ += size;
  if (size < kWord) {
    std::transform(name.begin(), name.end(), lowered, [](char c) {
      return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    });
    return {lowered, size};
  }
  const auto lower = [&](size_t at) {
    uint64_t word;
    std::memcpy(&word, name.data() + at, kWord);
    word = LowerWord(word);
    std::memcpy(lowered + at, &word, kWord);
  };
  for (size_t at = 0; at + kWord < size; at += kWord) lower(at);
  lower(size - kWord);  // may overlap the one before
  return {lowered, size};
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
    if (!AddChecked(field)) return false;
  }
  return true;
}

bool FieldBlock::IsOfBlock(const uint8_t* name) const {
  const auto* const begin = reinterpret_cast<const uint8_t*>(names_);
  return name >= begin && name < begin + kNameBytes;
}

void FieldBlock::SetFlags(FieldRepetition& repetition, Stays stays) {
  for (size_t i = 0; i < fields_.size(); ++i) {
    nghttp2_nv& field = fields_[i];
    const std::string_view name = Text(field.name, field.namelen);
    if (stays != Stays::kNothing) {
      field.flags |= NGHTTP2_NV_FLAG_NO_COPY_VALUE;
      const bool name_stays = stays == Stays::kFieldsAndBlock || !IsOfBlock(field.name);
      if (name_stays && i < raw_from_) field.flags |= NGHTTP2_NV_FLAG_NO_COPY_NAME;
    }
    // Of pseudo-fields nghttp2 knows best.
    if (name.front() != ':' &&
        !repetition.IsWorthIndexing(name, Text(field.value, field.valuelen))) {
      field.flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    }
  }
}

bool FieldBlock::AddTrailers(const http::HeaderList& trailers) {
  for (const HeaderField& field : trailers) {
    if (!AddChecked(field)) return false;
  }
  return true;
}

}  // namespace outrigger::http2
