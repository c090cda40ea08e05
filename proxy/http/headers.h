// Header fields as views into memory that somebody else owns: a connection's read buffer, a
// request's arena, or static text.
//
//   HeaderList headers;
//   headers.Add("Content-Type", "text/event-stream");
//   const HeaderField* type = headers.Find(HeaderId::kContentType);
//
// Order and repetition are kept as received, names keep their spelling and compare without case
// (RFC 9110, 5.1). Names that the proxy acts on are classified once into a HeaderId, so that later
// look-ups compare an integer. Clear() keeps the capacity: pooled lists do not allocate.
// One worker; no look-up allocates.

#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "proxy/base/arena.h"
#include "proxy/base/pooled.h"

namespace outrigger::http {

enum class HeaderId : uint8_t {
  kOther = 0,
  kAccept,
  kAuthorization,
  kConnection,
  kContentEncoding,
  kContentLength,
  kContentType,
  kCookie,
  kDate,
  kExpect,
  kForwarded,
  kGrpcRetryPushbackMs,
  kHost,
  kIdempotencyKey,
  kKeepAlive,
  kLink,
  kLocation,
  kProxyAuthenticate,
  kProxyAuthorization,
  kProxyConnection,
  kRetryAfter,
  kRetryAfterMs,
  kServer,
  kSetCookie,
  kTe,
  kTraceparent,
  kTracestate,
  kTrailer,
  kTransferEncoding,
  kUpgrade,
  kUserAgent,
  kVia,
  kWwwAuthenticate,
  kXEnvoyAttemptCount,
  kXEnvoyExpectedRqTimeoutMs,
  kXForwardedClientCert,
  kXForwardedFor,
  kXForwardedHost,
  kXForwardedProto,
  kXMsRetryAfterMs,
  kXRequestId,
  kXRequestTimeoutMs,
  kXShouldRetry,
  kXStainlessReadTimeout,
  kXStainlessRetryCount,
  // Every x-outrigger-* name, so that they can be stripped or found in one comparison (PR-8).
  kXOutrigger,
  kGrpcPreviousRpcAttempts,
  kGrpcTimeout,
  kGrpcStatus,
  kGrpcMessage,
  kCount,
};

// kOther when the name has no id. Any case.
HeaderId ClassifyHeader(std::string_view name);

// A set of ids, for "none of these is here" in one comparison.
class HeaderIdSet {
 public:
  constexpr HeaderIdSet() = default;
  template <class... Ids>
  constexpr explicit HeaderIdSet(HeaderId first, Ids... rest)
      : bits_((Bit(first) | ... | Bit(rest))) {}

  constexpr bool Contains(HeaderId id) const { return (bits_ & Bit(id)) != 0; }
  constexpr bool Intersects(HeaderIdSet other) const { return (bits_ & other.bits_) != 0; }
  constexpr void Add(HeaderId id) { bits_ |= Bit(id); }
  constexpr void Add(HeaderIdSet other) { bits_ |= other.bits_; }
  constexpr HeaderIdSet And(HeaderIdSet other) const {
    other.bits_ &= bits_;
    return other;
  }
  constexpr HeaderIdSet With(HeaderIdSet other) const {
    other.bits_ |= bits_;
    return other;
  }

 private:
  static_assert(static_cast<int>(HeaderId::kCount) <= 64);
  static constexpr uint64_t Bit(HeaderId id) { return uint64_t{1} << static_cast<int>(id); }

  uint64_t bits_ = 0;
};

bool EqualsIgnoreCase(std::string_view a, std::string_view b);
// Without leading and trailing spaces and tabs (OWS of RFC 9110, 5.6.3).
std::string_view TrimOws(std::string_view text);
// Whether a comma-separated list field such as Connection contains `token`, in any case.
bool ListContainsToken(std::string_view list, std::string_view token);

struct HeaderField {
  std::string_view name;
  std::string_view value;
  HeaderId id = HeaderId::kOther;
  // Set by those that read heads from a connection: the name is a token, and the value has no
  // control character but the tab and no white space around it, so that whoever writes them need
  // not look again.
  bool is_checked = false;
  // Set by the readers of HTTP/2: the name has no capital letter.
  bool is_lower = false;
};

class HeaderList {
 public:
  using Fields = std::vector<HeaderField, PooledAllocator<HeaderField>>;
  using const_iterator = Fields::const_iterator;

  HeaderList() = default;
  // Room for so many fields at first.
  explicit HeaderList(size_t usual_fields) : usual_fields_(usual_fields) {}

  void Add(std::string_view name, std::string_view value) {
    Add(HeaderField{name, value, ClassifyHeader(name)});
  }
  void Add(const HeaderField& field) {
    if (fields_.size() == fields_.capacity()) [[unlikely]] {
      Grow();
    }
    fields_.push_back(field);
    field_bytes_ += field.name.size() + field.value.size();
    repeated_ids_.Add(ids_.And(HeaderIdSet(field.id)));
    ids_.Add(field.id);
  }

  // The first field of that id or name; null when absent. The pointer dies with the next change.
  const HeaderField* Find(HeaderId id) const;
  const HeaderField* Find(std::string_view name) const;
  std::optional<std::string_view> Get(HeaderId id) const;
  std::optional<std::string_view> Get(std::string_view name) const;
  bool Has(HeaderId id) const { return Find(id) != nullptr; }
  // The ids of the fields, and perhaps of some that were removed.
  HeaderIdSet ids() const { return ids_; }
  // The ids that more than one field had, and perhaps of some that were removed.
  HeaderIdSet repeated_ids() const { return repeated_ids_; }

  // The length of all names and values, and perhaps of some that were removed.
  size_t field_bytes() const { return field_bytes_; }

  // Removes every field of that id or name.
  void Remove(HeaderId id);
  void Remove(std::string_view name);
  template <class Predicate>
  void RemoveIf(Predicate predicate) {
    std::erase_if(fields_, predicate);
  }

  // Replaces all views by copies in `arena`, so that the list no longer depends on a read buffer.
  void CopyInto(Arena& arena);

  const_iterator begin() const { return fields_.begin(); }
  const_iterator end() const { return fields_.end(); }
  const HeaderField* data() const { return fields_.data(); }
  size_t size() const { return fields_.size(); }
  bool empty() const { return fields_.empty(); }
  void Clear() {
    fields_.clear();
    ids_ = repeated_ids_ = {};
    field_bytes_ = 0;
  }

 private:
  // Room for most heads at once, in a block that the pool keeps.
  void Grow();

  static constexpr size_t kUsualFields = 24;

  Fields fields_;
  size_t usual_fields_ = kUsualFields;
  size_t field_bytes_ = 0;
  HeaderIdSet ids_;
  HeaderIdSet repeated_ids_;
};

}  // namespace outrigger::http
