#include "filters/idempotency/digest.h"

#include <openssl/evp.h>

#include <cstdio>
#include <cstdlib>
#include <vector>

namespace outrigger::idempotency {
namespace {

// Of each thread: enough for the uploads that a worker hashes at once; more are freed.
constexpr size_t kMaxKept = 64;

struct Contexts {
  std::vector<EVP_MD_CTX*> free;

  ~Contexts() {
    for (EVP_MD_CTX* context : free) EVP_MD_CTX_free(context);
  }
};

Contexts& ThisThread() {
  thread_local Contexts contexts;
  return contexts;
}

void Require(bool ok, const char* what) {
  if (ok) return;
  std::fprintf(stderr, "idempotency: %s failed\n", what);
  std::abort();
}

// Fetched once: looking the algorithm up by name takes a lock and costs more than a short hash.
const EVP_MD* Algorithm() {
  static const EVP_MD* const algorithm = [] {
    const EVP_MD* fetched = EVP_MD_fetch(nullptr, "SHA256", nullptr);
    Require(fetched != nullptr, "EVP_MD_fetch(SHA256)");
    return fetched;
  }();
  return algorithm;
}

EVP_MD_CTX* Take() {
  std::vector<EVP_MD_CTX*>& free = ThisThread().free;
  if (!free.empty()) {
    EVP_MD_CTX* context = free.back();
    free.pop_back();
    return context;
  }
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Require(context != nullptr, "EVP_MD_CTX_new");
  return context;
}

}  // namespace

void Sha256::GiveBack::operator()(EVP_MD_CTX* context) const {
  std::vector<EVP_MD_CTX*>& free = ThisThread().free;
  if (free.size() >= kMaxKept) return EVP_MD_CTX_free(context);
  free.push_back(context);
}

Sha256::Sha256(NoInit) : context_(Take()) {}

Sha256::Sha256() : context_(Take()) {
  // A context that has held this algorithm before is only reset.
  const EVP_MD* held = EVP_MD_CTX_get0_md(context_.get());
  const EVP_MD* algorithm = held == Algorithm() ? nullptr : Algorithm();
  Require(EVP_DigestInit_ex2(context_.get(), algorithm, nullptr) == 1, "EVP_DigestInit_ex2");
}

Sha256 Sha256::From(const Sha256& other) {
  Sha256 copy{NoInit{}};
  Require(EVP_MD_CTX_copy_ex(copy.context_.get(), other.context_.get()) == 1, "EVP_MD_CTX_copy_ex");
  return copy;
}

void Sha256::Update(std::string_view bytes) {
  Require(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1, "EVP_DigestUpdate");
}

Sha256::Value Sha256::Finish() {
  Value value;
  Require(EVP_DigestFinal_ex(context_.get(), value.data(), nullptr) == 1, "EVP_DigestFinal_ex");
  return value;
}

std::array<char, 8> LittleEndian(uint64_t value) {
  std::array<char, 8> bytes;
  for (char& byte : bytes) {
    byte = static_cast<char>(value & 0xff);
    value >>= 8;
  }
  return bytes;
}

}  // namespace outrigger::idempotency
