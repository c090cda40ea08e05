#include "proxy/http2/response_head.h"

#include <algorithm>

#include "proxy/http1/chars.h"
#include "proxy/http1/field_line.h"
#include "proxy/http1/framing.h"
#include "proxy/http2/kept_field.h"

namespace outrigger::http2 {

using http::HeaderId;

namespace {

constexpr http1::HeadLimits kLimits;
// What HTTP/1 spends on a field beyond name and value, so that one limit means the same for both.
constexpr size_t kFieldOverhead = 4;
constexpr size_t kHeadOverhead = 128;

// RFC 9113, 8.2.2.
constexpr http::HeaderIdSet kConnectionSpecific(HeaderId::kConnection, HeaderId::kKeepAlive,
                                                HeaderId::kProxyConnection,
                                                HeaderId::kTransferEncoding, HeaderId::kUpgrade);

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

void ResponseHeadReader::Begin() {
  // So that heads without fields have an end, too.
  bytes_of_all_ += kHeadOverhead;
  bytes_ = 0;
  has_regular_ = false;
}

bool ResponseHeadReader::Add(std::string_view name, std::string_view value, Arena& arena,
                             ResponseHead& head) {
  const size_t bytes = name.size() + value.size() + kFieldOverhead;
  bytes_ += bytes;
  bytes_of_all_ += bytes;
  if (bytes_ > kLimits.max_head_bytes || bytes_of_all_ > kMaxBytesOfAll) return false;
  if (!http1::IsFieldValue(value)) return false;
  if (name.starts_with(':')) return name == ":status" && AddStatus(value, head);
  has_regular_ = true;
  const HeaderId id = http::ClassifyHeader(name);
  if (!http1::IsLowerName(name, id) || kConnectionSpecific.Contains(id)) return false;
  if (id == HeaderId::kGrpcMessage) value = http::TrimOws(value);
  // RFC 9113, 8.2.1: what HTTP/1 would strip, HTTP/2 must not have.
  if (http::TrimOws(value).size() != value.size()) return false;
  if (head.headers.size() == kLimits.max_fields) return false;
  head.headers.Add(KeepField(name, value, id, arena));
  return true;
}

bool ResponseHeadReader::AddStatus(std::string_view value, ResponseHead& head) {
  if (has_regular_ || head.status != 0) return false;
  if (value.size() != 3 || !std::all_of(value.begin(), value.end(), IsDigit)) return false;
  head.status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
  // RFC 9113, 8.6: 101 does not exist here.
  return head.status >= 100 && head.status <= 599 && head.status != 101;
}

bool ResponseHeadReader::Finish(const ResponseHead& head) const {
  if (head.status == 0) return false;
  if (head.headers.repeated_ids().Contains(HeaderId::kContentLength)) return false;
  const http::HeaderField* length = head.headers.Find(HeaderId::kContentLength);
  return length == nullptr || http1::ParseContentLength(length->value).has_value();
}

}  // namespace outrigger::http2
