// Upstreams: the services behind the proxy. Plain data; the defaults are the product's.

#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "proxy/config/address.h"
#include "proxy/config/diagnostics.h"

namespace outrigger::config {

enum class UpstreamProtocol { kHttp1, kHttp2 };
enum class Balance { kLeastRequest, kRoundRobin };

struct KeepaliveSettings {
  absl::Duration idle = absl::Seconds(3);
  int64_t max = 256;
};

// A request that only a service whose model works can answer (HL-5).
struct InferenceSettings {
  enum class Method { kPost, kGet, kPut };

  std::string path;
  Method method = Method::kPost;
  std::map<std::string, std::string> headers;  // by names in lower case; values may be secret
  std::string content_type = "application/json";
  std::string body;
  absl::Duration timeout = absl::Seconds(60);
};

std::string_view MethodText(InferenceSettings::Method method);

struct HealthSettings {
  // The service name by which gRPC's health protocol means the server as a whole is empty, which
  // no value here can be.
  static constexpr std::string_view kWholeServer = "server";

  // Neither set: the check is a TCP connect.
  std::optional<std::string> path;
  std::optional<std::string> grpc;  // a service, or kWholeServer
  absl::Duration interval = absl::Seconds(5);
  absl::Duration timeout = absl::Seconds(2);
  int64_t unhealthy_after = 3;
  int64_t healthy_after = 1;
  std::optional<InferenceSettings> inference;
};

struct UpstreamTls {
  std::string ca;  // empty: whom the system trusts
  std::string cert;
  std::string key;
  std::string server_name;              // empty: the endpoint's host
  std::vector<std::string> server_san;  // rules of tls::SanRule, instead of the server's name
};

struct UpstreamConfig {
  std::string name = "app";
  std::vector<Address> endpoints = {{Address::Kind::kIpv4, "127.0.0.1", 8000, ""}};
  UpstreamProtocol protocol = UpstreamProtocol::kHttp1;
  std::optional<UpstreamTls> tls;
  Balance balance = Balance::kLeastRequest;
  std::optional<int64_t> max_requests;
  std::optional<absl::Duration> connect_timeout;  // not set: see ConnectTimeout
  KeepaliveSettings keepalive;
  HealthSettings health;

  SourceLocation where;

  // The stated time limit, else 300 ms for an endpoint on this machine and 1 s for others (TO-1).
  absl::Duration ConnectTimeout(const Address& endpoint) const;
};

}  // namespace outrigger::config
