#include "proxy/http/headers.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace outrigger::http {
namespace {

struct Known {
  std::string_view name;
  HeaderId id;
};

constexpr Known kKnown[] = {
    {"accept", HeaderId::kAccept},
    {"authorization", HeaderId::kAuthorization},
    {"connection", HeaderId::kConnection},
    {"content-encoding", HeaderId::kContentEncoding},
    {"content-length", HeaderId::kContentLength},
    {"content-type", HeaderId::kContentType},
    {"cookie", HeaderId::kCookie},
    {"date", HeaderId::kDate},
    {"expect", HeaderId::kExpect},
    {"forwarded", HeaderId::kForwarded},
    {"grpc-message", HeaderId::kGrpcMessage},
    {"grpc-status", HeaderId::kGrpcStatus},
    {"grpc-retry-pushback-ms", HeaderId::kGrpcRetryPushbackMs},
    {"grpc-previous-rpc-attempts", HeaderId::kGrpcPreviousRpcAttempts},
    {"grpc-timeout", HeaderId::kGrpcTimeout},
    {"host", HeaderId::kHost},
    {"idempotency-key", HeaderId::kIdempotencyKey},
    {"keep-alive", HeaderId::kKeepAlive},
    {"link", HeaderId::kLink},
    {"location", HeaderId::kLocation},
    {"proxy-authenticate", HeaderId::kProxyAuthenticate},
    {"proxy-authorization", HeaderId::kProxyAuthorization},
    {"proxy-connection", HeaderId::kProxyConnection},
    {"retry-after", HeaderId::kRetryAfter},
    {"retry-after-ms", HeaderId::kRetryAfterMs},
    {"server", HeaderId::kServer},
    {"set-cookie", HeaderId::kSetCookie},
    {"te", HeaderId::kTe},
    {"traceparent", HeaderId::kTraceparent},
    {"tracestate", HeaderId::kTracestate},
    {"trailer", HeaderId::kTrailer},
    {"transfer-encoding", HeaderId::kTransferEncoding},
    {"upgrade", HeaderId::kUpgrade},
    {"user-agent", HeaderId::kUserAgent},
    {"via", HeaderId::kVia},
    {"www-authenticate", HeaderId::kWwwAuthenticate},
    {"x-envoy-attempt-count", HeaderId::kXEnvoyAttemptCount},
    {"x-envoy-expected-rq-timeout-ms", HeaderId::kXEnvoyExpectedRqTimeoutMs},
    {"x-forwarded-client-cert", HeaderId::kXForwardedClientCert},
    {"x-forwarded-for", HeaderId::kXForwardedFor},
    {"x-forwarded-host", HeaderId::kXForwardedHost},
    {"x-forwarded-proto", HeaderId::kXForwardedProto},
    {"x-ms-retry-after-ms", HeaderId::kXMsRetryAfterMs},
    {"x-request-id", HeaderId::kXRequestId},
    {"x-request-timeout-ms", HeaderId::kXRequestTimeoutMs},
    {"x-should-retry", HeaderId::kXShouldRetry},
    {"x-stainless-read-timeout", HeaderId::kXStainlessReadTimeout},
    {"x-stainless-retry-count", HeaderId::kXStainlessRetryCount},
};

constexpr size_t kMaxNameLength = 30;
constexpr size_t kSlots = 256;

constexpr char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// A known name, with room to be read in words.
struct Entry {
  char name[kMaxNameLength + 2] = {};
  char significant[kMaxNameLength + 2] = {};  // the bits that must agree: not the case
  uint8_t size = 0;
  HeaderId id = HeaderId::kOther;
};

struct Table {
  std::array<uint8_t, kSlots> slots{};  // index into `entries` plus one; 0: free
  std::array<Entry, std::size(kKnown)> entries{};
};

// Length, first, last and a middle character tell the known names apart almost completely; what
// collides goes to the next slot.
constexpr size_t Slot(std::string_view name) {
  // Lower case for letters; what else it changes only makes another slot.
  const auto at = [&](size_t i) { return static_cast<unsigned char>(name[i] | 0x20); };
  return (name.size() * 7 + at(0) * 31 + at(name.size() - 1) * 17 + at(name.size() / 2) * 5) %
         kSlots;
}

constexpr Table BuildTable() {
  Table table;
  for (size_t i = 0; i < std::size(kKnown); ++i) {
    const std::string_view name = kKnown[i].name;
    size_t slot = Slot(name);
    while (table.slots[slot] != 0) slot = (slot + 1) % kSlots;
    table.slots[slot] = static_cast<uint8_t>(i + 1);
    Entry& entry = table.entries[i];
    entry.size = static_cast<uint8_t>(name.size());
    entry.id = kKnown[i].id;
    for (size_t at = 0; at < name.size(); ++at) {
      entry.name[at] = name[at];
      entry.significant[at] = static_cast<char>(name[at] >= 'a' && name[at] <= 'z' ? ~0x20 : ~0);
    }
  }
  return table;
}

constexpr Table kTable = BuildTable();

template <class T>
T Load(const char* at) {
  T word;
  std::memcpy(&word, at, sizeof(word));
  return word;
}

// Zero when the sizeof(T) characters at `at` are those of the known name, in any case.
template <class T>
T Differs(std::string_view name, const Entry& entry, size_t at) {
  return static_cast<T>((Load<T>(name.data() + at) ^ Load<T>(entry.name + at)) &
                        Load<T>(entry.significant + at));
}

// REQUIRES: same size. The last word may overlap the one before.
bool IsName(std::string_view name, const Entry& entry) {
  const size_t size = name.size();
  if (size >= 8) {
    uint64_t difference =
        Differs<uint64_t>(name, entry, 0) | Differs<uint64_t>(name, entry, size - 8);
    for (size_t at = 8; at + 8 < size; at += 8) difference |= Differs<uint64_t>(name, entry, at);
    return difference == 0;
  }
  if (size >= 4) {
    return (Differs<uint32_t>(name, entry, 0) | Differs<uint32_t>(name, entry, size - 4)) == 0;
  }
  uint8_t difference = 0;
  for (size_t at = 0; at < size; ++at) {
    difference = static_cast<uint8_t>(difference | Differs<uint8_t>(name, entry, at));
  }
  return difference == 0;
}

// The eight bytes at `at` with ASCII letters in lower case: every look-up of a name compares one,
// so that it pays to do it a word at a time. High bits mark the bytes that are capital letters.
uint64_t LowerWord(std::string_view text, size_t at) {
  constexpr uint64_t kOnes = 0x0101010101010101;
  constexpr uint64_t kHigh = kOnes * 0x80;
  const auto word = Load<uint64_t>(text.data() + at);
  const uint64_t low_bits = word & ~kHigh;
  const uint64_t from_a = low_bits + kOnes * (0x80 - 'A');
  const uint64_t above_z = low_bits + kOnes * (0x7F - 'Z');
  const uint64_t capitals = (from_a ^ above_z) & ~word & kHigh;
  return word | (capitals >> 2);
}

constexpr std::string_view kOurPrefix = "x-outrigger-";

// "Name: value", then two bytes of line end, then the next field's name.
bool FollowsDirectly(const HeaderField& field, const HeaderField& next) {
  const auto is_in_place = [](const HeaderField& f) {
    return f.value.data() == f.name.data() + f.name.size() + 2;
  };
  return is_in_place(field) && is_in_place(next) &&
         next.name.data() == field.value.data() + field.value.size() + 2;
}

}  // namespace

bool EqualsIgnoreCase(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  const size_t size = a.size();
  if (size >= 8) {
    for (size_t at = 0; at < size - 8; at += 8) {
      if (LowerWord(a, at) != LowerWord(b, at)) return false;
    }
    return LowerWord(a, size - 8) == LowerWord(b, size - 8);
  }
  for (size_t i = 0; i < size; ++i) {
    if (Lower(a[i]) != Lower(b[i])) return false;
  }
  return true;
}

HeaderId ClassifyHeader(std::string_view name) {
  if (name.empty()) return HeaderId::kOther;
  if (name.size() <= kMaxNameLength) {
    for (size_t slot = Slot(name); kTable.slots[slot] != 0; slot = (slot + 1) % kSlots) {
      const Entry& entry = kTable.entries[kTable.slots[slot] - 1];
      if (entry.size == name.size() && IsName(name, entry)) return entry.id;
    }
  }
  const bool is_ours = name.size() >= kOurPrefix.size() && (name[0] | 0x20) == 'x' &&
                       EqualsIgnoreCase(name.substr(0, kOurPrefix.size()), kOurPrefix);
  return is_ours ? HeaderId::kXOutrigger : HeaderId::kOther;
}

std::string_view TrimOws(std::string_view text) {
  const auto is_space = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

bool ListContainsToken(std::string_view list, std::string_view token) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    if (EqualsIgnoreCase(TrimOws(list.substr(0, comma)), token)) return true;
    if (comma == std::string_view::npos) return false;
    list.remove_prefix(comma + 1);
  }
  return false;
}

void HeaderList::Grow() { fields_.reserve(std::max(usual_fields_, 2 * fields_.size())); }

const HeaderField* HeaderList::Find(HeaderId id) const {
  if (!ids_.Contains(id)) return nullptr;
  for (const HeaderField& field : fields_) {
    if (field.id == id) return &field;
  }
  return nullptr;
}

const HeaderField* HeaderList::Find(std::string_view name) const {
  for (const HeaderField& field : fields_) {
    if (EqualsIgnoreCase(field.name, name)) return &field;
  }
  return nullptr;
}

std::optional<std::string_view> HeaderList::Get(HeaderId id) const {
  const HeaderField* field = Find(id);
  if (field == nullptr) return std::nullopt;
  return field->value;
}

std::optional<std::string_view> HeaderList::Get(std::string_view name) const {
  const HeaderField* field = Find(name);
  if (field == nullptr) return std::nullopt;
  return field->value;
}

void HeaderList::Remove(HeaderId id) {
  if (!ids_.Contains(id)) return;
  std::erase_if(fields_, [id](const HeaderField& field) { return field.id == id; });
}

void HeaderList::Remove(std::string_view name) {
  std::erase_if(fields_,
                [name](const HeaderField& field) { return EqualsIgnoreCase(field.name, name); });
}

void HeaderList::CopyInto(Arena& arena) {
  // Fields that stand behind one another, as a parser leaves them, are copied in one piece.
  for (auto first = fields_.begin(); first != fields_.end();) {
    auto last = first;
    while (last + 1 != fields_.end() && FollowsDirectly(*last, last[1])) ++last;
    if (first == last) {
      first->name = arena.Copy(first->name);
      first->value = arena.Copy(first->value);
      ++first;
      continue;
    }
    const char* const begin = first->name.data();
    const char* const end = last->value.data() + last->value.size();
    const char* const copy = arena.Copy({begin, static_cast<size_t>(end - begin)}).data();
    for (; first != last + 1; ++first) {
      first->name = {copy + (first->name.data() - begin), first->name.size()};
      first->value = {copy + (first->value.data() - begin), first->value.size()};
    }
  }
}

}  // namespace outrigger::http
