#include "proxy/config/compound_types.h"
#include "proxy/config/description.h"
#include "proxy/config/scalar_types.h"
#include "proxy/config/section.h"

namespace outrigger::config {
namespace {

Type<InFlightSettings> DescribeInFlight() {
  using S = InFlightSettings;
  return WordOrSection<S>({
      .words = {{"join", {S::Mode::kJoin}}, {"reject", {S::Mode::kReject}}},
      .section = Section<S>("in_flight")
                     .Key("wait", &S::wait, DurationType(),
                          "Wait this long for the running execution, then answer 409")
                     .Done(),
      .section_start = S{S::Mode::kWait},
  });
}

Type<DetachedSettings> DescribeDetached() {
  using S = DetachedSettings;
  return Section<S>("detached")
      .Key("max", &S::max, CountType({.min = 0, .max = 10'000}),
           "How many executions may go on without a reader")
      .Key("timeout", &S::timeout, DurationType(), "How long each of them may go on")
      .Done();
}

Type<JsonFingerprintSettings> DescribeJsonFingerprint() {
  using S = JsonFingerprintSettings;
  return Section<S>("json_fingerprint")
      .Key("ignore", &S::ignore, List(JsonPointerType(), {.max = 64, .unique = true}),
           "Members that do not count: requests that differ in nothing else get one answer. A "
           "number leads into that element of an array; elements themselves always count")
      .Key("max_body", &S::max_body, SizeType({.min = 1, .max = size_t{16} << 20}),
           "A larger body is compared byte by byte. Of a smaller one that does not come at once a "
           "copy is kept until it is complete")
      .Done();
}

Type<FingerprintSettings> DescribeFingerprint() {
  using S = FingerprintSettings;
  return WordOrSection<S>({
      .words = {{"exact", {S::Mode::kExact}}, {"json", {S::Mode::kJson}}},
      .section = Section<S>("fingerprint")
                     .Key("json", &S::json, DescribeJsonFingerprint(),
                          "Compare JSON bodies by what they say")
                     .Done(),
      .section_start = S{S::Mode::kJson},
  });
}

}  // namespace

Type<IdempotencySettings> DescribeIdempotency() {
  using S = IdempotencySettings;
  return Section<S>("idempotency")
      .Key("key_headers", &S::key_headers,
           List(HeaderNameType(), {.min = 1, .max = 8, .unique = true}),
           "Headers that carry the key; the first one present counts")
      .Key("key_max_len", &S::key_max_len, CountType({.min = 1, .max = 255}),
           "Characters in a key; a longer one is answered 400")
      .Key("required", &S::required, BoolType(), "Answer 400 to a POST or PATCH without a key")
      .Key("in_flight", &S::in_flight, DescribeInFlight(),
           "What a request gets whose key is being executed: `join` the running answer, `reject` "
           "with 409, or wait for some time first")
      .Key("scope", &S::scope,
           OneWordOf<IdempotencyScope>({{"tenant", IdempotencyScope::kTenant},
                                        {"anonymous", IdempotencyScope::kAnonymous}}),
           "Whether equal keys of two tenants are two keys. `anonymous` is for callers whose "
           "`Authorization` changes between retries")
      .Key("fingerprint", &S::fingerprint, DescribeFingerprint(),
           "When two bodies with one key are the same: byte by byte, or for `application/json` and "
           "`+json` when they say the same (RFC 8785), in whatever order, spacing and escapes. "
           "Bodies without such a form count byte by byte")
      .Key("key_ttl", &S::key_ttl, DurationType({.min = absl::Seconds(1)}),
           "How long a key is remembered, counted from the completion")
      .Key("response_ttl", &S::response_ttl, DurationType({.min = absl::Seconds(1)}),
           "How long the answer is kept for replay")
      .Key("max_keys", &S::max_keys, CountType({.min = 1, .max = 10'000'000}), "Keys remembered")
      .Key("max_body", &S::max_body, SizeType(), "Largest answer that is kept for replay")
      .Key("max_bodies", &S::max_bodies, Or("auto", SizeType()),
           "All kept answers together; `auto` is 25 % of the memory budget")
      .Key("max_waiters", &S::max_waiters, CountType({.min = 1, .max = 1'000'000}),
           "Requests that may join one execution")
      .Key("replay_rate", &S::replay_rate, Or("none", RateType()),
           "Kept answers that one tenant may get again, for example `50/s`; beyond it 429. Joining "
           "a running execution is free")
      .Key("replay_pace", &S::replay_pace,
           OneWordOf<ReplayPace>(
               {{"burst", ReplayPace::kBurst}, {"original", ReplayPace::kOriginal}}),
           "How fast a recorded stream is replayed: at once, or with the pauses that it had")
      .Key("on_full", &S::on_full,
           OneWordOf<OnFull>({{"reject", OnFull::kReject}, {"bypass", OnFull::kBypass}}),
           "What a new key gets when the table is full of keys that must not be forgotten: 503, or "
           "an execution without protection that says so in a header")
      .Key("on_owner_disconnect", &S::on_owner_disconnect,
           OneWordOf<OnOwnerDisconnect>(
               {{"finish", OnOwnerDisconnect::kFinish}, {"cancel", OnOwnerDisconnect::kCancel}}),
           "Whether an execution goes on when its last reader has left")
      .Key("detached", &S::detached, DescribeDetached(), "Executions without a reader")
      .Key(
          "store", &S::store,
          OneWordOf<IdempotencyStore>({{"memory", IdempotencyStore::kMemory}}, {"sqlite", "redis"}),
          "Where keys are kept")
      .Key("on_store_error", &S::on_store_error,
           OneWordOf<OnStoreError>({{"fail_closed", OnStoreError::kFailClosed},
                                    {"fail_local", OnStoreError::kFailLocal}}),
           "Whether requests with a key are refused or served from memory when the store fails; "
           "`memory` itself cannot fail")
      .Later("implicit", "Protection of retries that carry no key")
      .Later("persist_bodies", "Keeping answers in a durable store")
      .Done();
}

}  // namespace outrigger::config
