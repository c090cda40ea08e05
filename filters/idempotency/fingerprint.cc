#include "filters/idempotency/fingerprint.h"

#include <algorithm>

#include "absl/container/inlined_vector.h"
#include "filters/idempotency/media_type.h"

namespace outrigger::idempotency {
namespace {

// Typical media types fit without malloc.
using Text = absl::InlinedVector<char, 120>;

void Append(Text& text, std::string_view part) {
  text.insert(text.end(), part.begin(), part.end());
}

void AppendLowerCase(Text& text, std::string_view part) {
  const size_t before = text.size();
  text.resize(before + part.size());
  std::transform(part.begin(), part.end(), text.data() + before, [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
}

// What of the Content-Type takes part in the comparison.
Text CanonicalMediaType(const MediaType& type, bool without_boundary) {
  Text text;
  AppendLowerCase(text, type.essence());
  if (!without_boundary) {
    // Parameters as sent: `charset` and `profile` may change what the body means.
    const size_t semicolon = type.value().find(';');
    if (semicolon != std::string_view::npos) Append(text, type.value().substr(semicolon));
    return text;
  }
  MediaType::Parameters parameters = type.parameters();
  while (parameters.Next()) {
    if (http::EqualsIgnoreCase(parameters.name(), "boundary")) continue;
    Append(text, ";");
    AppendLowerCase(text, parameters.name());
    Append(text, "=");
    Append(text, View(LittleEndian(parameters.value().size())));
    Append(text, parameters.value());
  }
  return text;
}

// FNV-1a. Short and fast is enough: these hashes name a difference, they do not decide.
uint64_t ShortHash(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return hash ^ hash >> 32;
}

void UpdatePrefixed(Sha256& hash, std::string_view text) {
  hash.Update(View(LittleEndian(text.size())));
  hash.Update(text);
}

}  // namespace

std::string_view RequestPartName(RequestPart part) {
  switch (part) {
    case RequestPart::kMethod:
      return "method";
    case RequestPart::kPath:
      return "path";
    case RequestPart::kMediaType:
      return "media type";
    case RequestPart::kBody:
      return "body";
  }
  return {};
}

std::optional<RequestPart> FindDifference(const FingerprintHead& a, const FingerprintHead& b) {
  if (a.method != b.method) return RequestPart::kMethod;
  if (a.path != b.path) return RequestPart::kPath;
  if (a.media_type != b.media_type) return RequestPart::kMediaType;
  return std::nullopt;
}

std::optional<RequestPart> FindDifference(const Fingerprint& a, const Fingerprint& b) {
  if (a.digest == b.digest) return std::nullopt;
  return FindDifference(a.head, b.head).value_or(RequestPart::kBody);
}

Fingerprinter::Fingerprinter(std::string_view method, std::string_view target,
                             std::string_view content_type, JsonOptions json)
    : json_(json) {
  const MediaType type(content_type);
  const std::optional<std::string_view> boundary = FindBoundary(content_type);
  if (boundary.has_value()) {
    form_ = Form::kMultipart;
    boundary_.emplace(*boundary);
  } else if (json_.rules != nullptr && type.IsJson()) {
    form_ = Form::kJson;
  }
  const Text canonical = CanonicalMediaType(type, boundary.has_value());
  const std::string_view media_type(canonical.data(), canonical.size());

  head_.method = static_cast<uint8_t>(ShortHash(method));
  head_.path = static_cast<uint32_t>(ShortHash(target));
  head_.media_type = static_cast<uint32_t>(ShortHash(media_type));
  UpdatePrefixed(hash_, method);
  UpdatePrefixed(hash_, target);
  UpdatePrefixed(hash_, media_type);
}

bool Fingerprinter::Expect(std::optional<uint64_t> body_bytes) {
  if (form_ != Form::kJson) return true;
  const size_t max_bytes = json_.rules->max_bytes;
  if (body_bytes.value_or(0) > max_bytes) {
    TakeExactBytes();
    return true;
  }
  // Above this level the driver refuses whole requests (LM-8), for the same want.
  constexpr unsigned kBudgetPercent = 95;
  BudgetLease charge(json_.budget);
  if (!charge.TryGrow(body_bytes.value_or(max_bytes), kBudgetPercent)) return false;
  copy_ = std::make_unique<Copy>();
  copy_->charge = std::move(charge);
  copy_->bytes.reserve(body_bytes.value_or(0));
  return true;
}

void Fingerprinter::Update(std::string_view body) {
  switch (form_) {
    case Form::kExact:
      return Hash(body);
    case Form::kJson:
      return Keep(body);
    case Form::kMultipart:
      break;
  }
  boundary_->Update(
      body, [this](std::string_view bytes) { Hash(bytes); },
      [this] {
        HashSegmentEnd();
        ++delimiters_;
      });
}

void Fingerprinter::Hash(std::string_view bytes) {
  hash_.Update(bytes);
  segment_bytes_ += bytes.size();
}

// Lengths follow their bytes, because a streamed part's length is known only at its end. Read from
// the back, the sequence has one meaning all the same.
void Fingerprinter::HashSegmentEnd() {
  hash_.Update(View(LittleEndian(segment_bytes_)));
  segment_bytes_ = 0;
}

void Fingerprinter::Keep(std::string_view body) {
  std::vector<char>& bytes = copy_->bytes;
  const size_t size = bytes.size() + body.size();
  if (size > json_.rules->max_bytes) {
    TakeExactBytes();
    return Hash(body);
  }
  // Doubled, but never beyond what is charged.
  if (size > bytes.capacity()) {
    bytes.reserve(std::max(size, std::min(2 * bytes.capacity(), json_.rules->max_bytes)));
  }
  bytes.insert(bytes.end(), body.begin(), body.end());
}

void Fingerprinter::HashJson(std::string_view body) {
  BudgetLease work(json_.budget);
  work.Grow(kJsonWorkFactor * body.size());
  const std::optional<std::string> form = CanonicalJson(body, *json_.rules);
  if (form.has_value()) {
    Hash(*form);
    copy_.reset();
    return;
  }
  const bool is_kept = copy_ != nullptr;
  TakeExactBytes();
  if (!is_kept) Hash(body);
}

void Fingerprinter::TakeExactBytes() {
  form_ = Form::kExact;
  if (copy_ == nullptr) return;
  Hash(copy_->text());
  copy_.reset();
}

Fingerprint Fingerprinter::Finish(std::string_view rest) {
  if (form_ == Form::kExact) {
    Hash(rest);
  } else if (form_ == Form::kJson && copy_ == nullptr) {
    HashJson(rest);
  } else {
    Update(rest);
    if (form_ == Form::kJson) HashJson(copy_->text());
    if (form_ == Form::kMultipart) {
      boundary_->Finish([this](std::string_view bytes) { Hash(bytes); });
    }
  }
  HashSegmentEnd();
  // The count, with two bits that keep the forms apart.
  hash_.Update(View(LittleEndian(delimiters_ << 2 | static_cast<uint64_t>(form_))));
  return {hash_.Finish(), head_};
}

}  // namespace outrigger::idempotency
