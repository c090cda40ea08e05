#include "proxy/injector/trust_bundle.h"

#include <algorithm>

#include "absl/strings/escaping.h"
#include "fmt/format.h"
#include "proxy/tls/certificate.h"

namespace outrigger::injector {
namespace {

using inject::Json;
using tls::BioPtr;
using tls::X509Ptr;

constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
constexpr std::string_view kEnd = "-----END CERTIFICATE-----";
// Replicas that have come and gone within the life of a certificate; some 700 bytes each.
constexpr size_t kMaxCertificates = 64;

std::vector<std::string> Split(std::string_view text) {
  std::vector<std::string> blocks;
  for (;;) {
    const size_t begin = text.find(kBegin);
    if (begin == std::string_view::npos) return blocks;
    const size_t end = text.find(kEnd, begin);
    if (end == std::string_view::npos) return blocks;
    const size_t size = end + kEnd.size() - begin;
    blocks.push_back(std::string(text.substr(begin, size)) + "\n");
    text.remove_prefix(begin + size);
  }
}

std::string CommonName(const X509& certificate) {
  char name[256] = {};
  const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(&certificate), NID_commonName,
                                             name, sizeof name);
  return size < 0 ? "" : std::string(name, static_cast<size_t>(size));
}

bool IsKept(const std::string& block, const TrustChange& change) {
  if (std::find(change.own.begin(), change.own.end(), block) != change.own.end()) return true;
  const BioPtr bio(BIO_new_mem_buf(block.data(), static_cast<int>(block.size())));
  const X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  ERR_clear_error();
  return certificate != nullptr && tls::NotAfter(*certificate) > change.now &&
         CommonName(*certificate) != change.replica;
}

std::string Text(const Json& object, const char* key) {
  if (!object.is_object()) return "";
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace

std::string ChangeBundle(std::string_view present, const TrustChange& change) {
  std::vector<std::string> blocks = Split(present);
  std::erase_if(blocks, [&](const std::string& block) { return !IsKept(block, change); });
  for (const std::string& own : change.own) {
    if (std::find(blocks.begin(), blocks.end(), own) == blocks.end()) blocks.push_back(own);
  }
  // Ours may be among the oldest: it goes as well, and comes back as the newest.
  while (blocks.size() > kMaxCertificates) {
    const std::string oldest = blocks.front();
    blocks.erase(blocks.begin());
    if (std::find(change.own.begin(), change.own.end(), oldest) != change.own.end()) {
      blocks.push_back(oldest);
    }
  }
  std::string bundle;
  for (const std::string& block : blocks) bundle += block;
  return bundle;
}

absl::StatusOr<std::string> BundlePatch(const Json& configuration, const TrustChange& change) {
  if (Text(configuration, "kind") != "MutatingWebhookConfiguration" ||
      !configuration.contains("metadata") || !configuration.contains("webhooks") ||
      !configuration["webhooks"].is_array()) {
    return absl::InvalidArgumentError(
        "the answer is no MutatingWebhookConfiguration with webhooks");
  }
  const std::string version = Text(configuration["metadata"], "resourceVersion");
  if (version.empty()) return absl::InvalidArgumentError("it has no resourceVersion");
  Json changed = Json::array();
  for (const Json& webhook : configuration["webhooks"]) {
    const std::string name = Text(webhook, "name");
    if (name.empty()) return absl::InvalidArgumentError("a webhook has no name");
    const Json config = webhook.contains("clientConfig") ? webhook["clientConfig"] : Json::object();
    std::string present;
    if (!absl::Base64Unescape(Text(config, "caBundle"), &present)) present.clear();
    const std::string wanted = ChangeBundle(present, change);
    if (wanted == present) continue;
    changed.push_back(
        {{"name", name}, {"clientConfig", {{"caBundle", absl::Base64Escape(wanted)}}}});
  }
  if (changed.empty()) return "";
  return Json({{"metadata", {{"resourceVersion", version}}}, {"webhooks", changed}}).dump();
}

}  // namespace outrigger::injector
