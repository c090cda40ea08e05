// Tells whether two requests with one idempotency key are the same request (semantics ID-2).
//
//   Fingerprinter fingerprinter(method, target, content_type);
//   table.Begin(key, fingerprinter.head(), ...);          // can refuse already here
//   if (!fingerprinter.Expect(body_length)) ...           // no memory
//   fingerprinter.Update(chunk);                          // as the body streams
//   Fingerprint fingerprint = fingerprinter.Finish();     // or Finish(body), of one in memory
//   Difference d = Compare(stored, fingerprint);
//
// The digest is SHA-256 over method, path?query, media type and body, each length-prefixed or
// length-suffixed, so that no two different requests spell the same bytes. It alone decides. The
// short hashes of the head only say *which* part differs, and let a difference in the head be
// refused before the body has arrived; equal short hashes prove nothing.
//
// The media type's essence compares without case, its parameters as sent. The body counts byte by
// byte, except that a multipart body counts without its boundary (multipart.h); when the boundary
// cannot be told from the media type, the exact bytes count.
//
// Where the route wants it, a body of a JSON media type counts in its canonical form
// (canonical_json.h), or byte by byte if it has none. Which of the two, the body alone decides,
// however it arrives, and the hash says which, so that no body equals one of the other kind. The
// form needs the whole body: a body that streams is kept until its end, in memory that Expect()
// charged before its first byte, so that no lack of it can show halfway.
//
// Views are read in the call and not kept. One worker at a time; but for a JSON body's copy memory
// is bounded by the boundary.

#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "filters/idempotency/canonical_json.h"
#include "filters/idempotency/digest.h"
#include "filters/idempotency/multipart.h"
#include "proxy/base/memory_budget.h"

namespace outrigger::idempotency {

enum class RequestPart : uint8_t { kMethod, kPath, kMediaType, kBody };
// For the answer's `detail`: "method", "path", "media type", "body".
std::string_view RequestPartName(RequestPart part);

struct FingerprintHead {
  uint32_t path = 0;
  uint32_t media_type = 0;
  uint8_t method = 0;

  friend bool operator==(const FingerprintHead&, const FingerprintHead&) = default;
};

struct Fingerprint {
  Sha256::Value digest{};
  FingerprintHead head;
};

// The first part in which the two differ for certain; nothing when they may be equal.
std::optional<RequestPart> FindDifference(const FingerprintHead& a, const FingerprintHead& b);
// The same for complete requests, where nothing means equal.
std::optional<RequestPart> FindDifference(const Fingerprint& a, const Fingerprint& b);

// How JSON bodies count, and what their copies are charged to. Without rules: byte by byte.
struct JsonOptions {
  const JsonRules* rules = nullptr;
  MemoryBudget* budget = nullptr;
};

class Fingerprinter {
 public:
  // `target` is path?query as the route sees it, `content_type` empty when there is none. What
  // `json` names outlives the fingerprinter.
  Fingerprinter(std::string_view method, std::string_view target, std::string_view content_type,
                JsonOptions json = {});

  const FingerprintHead& head() const { return head_; }
  // A body will come in pieces, of `body_bytes` if that is known. False: there is no memory for the
  // copy that its fingerprint needs; nothing was charged. REQUIRES: before the first Update().
  [[nodiscard]] bool Expect(std::optional<uint64_t> body_bytes);
  // REQUIRES: Expect() was true.
  void Update(std::string_view body);
  // With the rest of the body, which may be all of it; such a body is not copied.
  // REQUIRES: not called before; Update() not called afterwards.
  Fingerprint Finish(std::string_view rest = "");

 private:
  enum class Form : uint8_t { kExact = 0, kMultipart = 1, kJson = 2 };  // part of the hash
  // Of a JSON body, as far as it has arrived.
  struct Copy {
    std::vector<char> bytes;
    BudgetLease charge;

    std::string_view text() const { return {bytes.data(), bytes.size()}; }
  };

  void Hash(std::string_view bytes);
  void HashSegmentEnd();
  void Keep(std::string_view body);
  void HashJson(std::string_view body);
  // The body has no canonical form. What was kept of it is hashed.
  void TakeExactBytes();

  Sha256 hash_;
  FingerprintHead head_;
  Form form_ = Form::kExact;
  std::optional<BoundaryRemover> boundary_;  // of kMultipart
  JsonOptions json_;                         // of kJson
  std::unique_ptr<Copy> copy_;               // of kJson; null: the body does not come in pieces
  // Of the body, or of a multipart body since its last delimiter.
  uint64_t segment_bytes_ = 0;
  uint64_t delimiters_ = 0;
};

}  // namespace outrigger::idempotency
