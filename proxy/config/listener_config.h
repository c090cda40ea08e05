// Listeners and the admin port. Plain data; the defaults are the product's.

#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proxy/config/address.h"
#include "proxy/config/diagnostics.h"

namespace outrigger::config {

struct DrainSettings {
  absl::Duration lame_duck = absl::Seconds(5);
  absl::Duration timeout = absl::Seconds(25);  // includes the lame duck
};

struct AdminConfig {
  Address address{Address::Kind::kIpv4, "0.0.0.0", 15020, ""};
  DrainSettings drain;
  std::optional<Address> grpc_address;  // of the gRPC health service
};

enum class ListenerProtocol { kAuto, kHttp1, kHttp2 };
enum class HalfClose { kGone, kAllow };
enum class Unmatched { kForward, kNotFound };

struct ListenerLimits {
  size_t headers = 60 << 10;
  int64_t header_count = 100;
  absl::Duration header_timeout = absl::Seconds(10);
  absl::Duration body_idle_timeout = absl::Seconds(30);
  absl::Duration write_idle_timeout = absl::Seconds(60);
  absl::Duration idle_timeout = absl::Seconds(620);
  std::optional<size_t> body;                                 // not set: unlimited
  std::map<std::string, std::optional<size_t>> body_by_type;  // by media type, lower case
};

enum class ClientAuth { kNone, kOptional, kRequire };
// What becomes of X-Forwarded-Client-Cert, which says who the client of the mesh is.
enum class ForwardedCert { kSanitize, kForward, kAppend, kSet };

struct ListenerTls {
  std::string cert;
  std::string key;
  std::string client_ca;
  ClientAuth client_auth = ClientAuth::kNone;
  std::vector<std::string> client_san;  // rules of tls::SanRule; empty: any client of the CA
};

struct ListenerConfig {
  std::string name = "inbound";
  Address address{Address::Kind::kIpv4, "0.0.0.0", 15001, ""};
  ListenerProtocol protocol = ListenerProtocol::kAuto;
  std::optional<ListenerTls> tls;
  ForwardedCert forwarded_client_cert = ForwardedCert::kSanitize;
  ListenerLimits limits;
  HalfClose half_close = HalfClose::kGone;
  std::vector<std::string> upgrades = {"websocket"};  // lower case; see tunnel::MayBeAllowed
  int64_t trusted_hops = 0;  // proxies in front whose X-Forwarded-For is believed
  Unmatched unmatched = Unmatched::kForward;
  std::string upstream;  // for what no route claims; Parse fills in the first upstream's name

  SourceLocation where;
};

}  // namespace outrigger::config
