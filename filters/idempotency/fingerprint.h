// Tells whether two requests with one idempotency key are the same request (semantics ID-2).
//
//   Fingerprinter fingerprinter(method, target, content_type);
//   table.Begin(key, fingerprinter.head(), ...);          // can refuse already here
//   fingerprinter.Update(chunk);                          // as the body streams
//   Fingerprint fingerprint = fingerprinter.Finish();
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
// Views are read in the call and not kept. One worker at a time; memory is bounded by the boundary.

#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "filters/idempotency/digest.h"
#include "filters/idempotency/multipart.h"

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

class Fingerprinter {
 public:
  // `target` is path?query as the route sees it, `content_type` empty when there is none.
  Fingerprinter(std::string_view method, std::string_view target, std::string_view content_type);

  const FingerprintHead& head() const { return head_; }
  void Update(std::string_view body);
  // REQUIRES: not called before; Update() not called afterwards.
  Fingerprint Finish();

 private:
  void HashSegmentEnd();

  Sha256 hash_;
  FingerprintHead head_;
  std::optional<BoundaryRemover> boundary_;
  // Of the body, or of a multipart body since its last delimiter.
  uint64_t segment_bytes_ = 0;
  uint64_t delimiters_ = 0;
};

}  // namespace outrigger::idempotency
