#include "proxy/tls/ticket_keys.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <cstring>
#include <utility>

#include "absl/time/clock.h"

namespace outrigger::tls {
namespace {

int KeysIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

bool SetMac(EVP_MAC_CTX* mac, TicketKeys::Key& key) {
  char digest[] = "SHA256";
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac.data(), key.mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  return EVP_MAC_CTX_set_params(mac, params) == 1;
}

// As SSL_CTX_set_tlsext_ticket_key_evp_cb(3) asks for: -1 an error, 0 an unknown ticket, 1 done, 2
// done and the client should get a newer ticket.
int OnTicket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
             EVP_MAC_CTX* mac, int is_new) {
  auto* keys = static_cast<TicketKeys*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), KeysIndex()));
  const absl::Time now = absl::Now();
  if (is_new == 1) {
    std::optional<TicketKeys::Key> key = keys->Current(now);
    if (!key.has_value() || RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1) {
      return -1;
    }
    std::memcpy(name, key->name.data(), key->name.size());
    const bool is_set =
        EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->cipher.data(), iv) == 1 &&
        SetMac(mac, *key);
    return is_set ? 1 : -1;
  }
  std::optional<TicketKeys::Key> key = keys->Find(name, now);
  if (!key.has_value()) return 0;
  const bool is_set = SetMac(mac, *key) && EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), nullptr,
                                                              key->cipher.data(), iv) == 1;
  if (!is_set) return -1;
  // In TLS 1.3 every connection gets new tickets anyway.
  return now - key->made < TicketKeys::kLifetime ? 1 : 2;
}

}  // namespace

TicketKeys::~TicketKeys() {
  for (std::optional<Key>* key : {&current_, &previous_}) {
    if (key->has_value()) OPENSSL_cleanse(&key->value(), sizeof(Key));
  }
}

void TicketKeys::Install(SSL_CTX& ctx) {
  SSL_CTX_set_ex_data(&ctx, KeysIndex(), this);
  SSL_CTX_set_tlsext_ticket_key_evp_cb(&ctx, OnTicket);
}

std::optional<TicketKeys::Key> TicketKeys::Current(absl::Time now) {
  std::lock_guard lock(mutex_);
  if (!current_.has_value() || now - current_->made >= kLifetime) {
    Key key;
    if (RAND_bytes(key.name.data(), static_cast<int>(key.name.size())) != 1 ||
        RAND_bytes(key.cipher.data(), static_cast<int>(key.cipher.size())) != 1 ||
        RAND_bytes(key.mac.data(), static_cast<int>(key.mac.size())) != 1) {
      return std::nullopt;
    }
    key.made = now;
    previous_ = std::exchange(current_, key);
  }
  return current_;
}

std::optional<TicketKeys::Key> TicketKeys::Find(const unsigned char* name, absl::Time now) {
  std::lock_guard lock(mutex_);
  for (const std::optional<Key>* key : {&current_, &previous_}) {
    if (!key->has_value() || now - (*key)->made >= 2 * kLifetime) continue;
    if (std::memcmp(name, (*key)->name.data(), (*key)->name.size()) == 0) return *key;
  }
  return std::nullopt;
}

}  // namespace outrigger::tls
