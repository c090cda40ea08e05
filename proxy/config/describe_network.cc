// The keys of admin, listeners and upstreams.

#include "proxy/config/compound_types.h"
#include "proxy/config/description.h"
#include "proxy/config/scalar_types.h"
#include "proxy/config/section.h"

namespace outrigger::config {
namespace {

Type<DrainSettings> DescribeDrain() {
  using S = DrainSettings;
  return Section<S>("drain")
      .Key("lame_duck", &S::lame_duck, DurationType({.min = absl::ZeroDuration()}),
           "How long new requests are still accepted after readiness went down")
      .Key("timeout", &S::timeout, DurationType({.min = absl::ZeroDuration()}),
           "How long draining may take in all, the lame duck included")
      .Done();
}

Type<ListenerLimits> DescribeLimits() {
  using S = ListenerLimits;
  const SizeRange head{.min = 1 << 10, .max = 1 << 20};
  return Section<S>("limits")
      .Key("headers", &S::headers, SizeType(head), "The head of a request; beyond it 431")
      .Key("header_count", &S::header_count, CountType({.min = 1, .max = 10'000}),
           "Headers of a request; beyond it 431")
      .Key("header_timeout", &S::header_timeout, DurationType(),
           "From the first byte of a request to the end of its head; then 408")
      .Key("body_idle_timeout", &S::body_idle_timeout, DurationType(),
           "Between two pieces of a request body; then 408. Not of gRPC calls")
      .Key("write_idle_timeout", &S::write_idle_timeout, DurationType(),
           "How long a client may read nothing of its answer")
      .Key("idle_timeout", &S::idle_timeout, DurationType(),
           "How long a connection is kept between requests; longer than that of balancers in front")
      .Key("body", &S::body, Or("unlimited", SizeType()), "A request body; beyond it 413")
      .Key("body_by_type", &S::body_by_type,
           Map("media type", MediaTypeType(), Or("unlimited", SizeType())),
           "The same for some content types, for example `{application/json: 1MiB}`")
      .Done();
}

Type<KeepaliveSettings> DescribeKeepalive() {
  using S = KeepaliveSettings;
  return Section<S>("keepalive")
      .Key("idle", &S::idle, DurationType(),
           "How long an idle connection is reused, until its server taught better")
      .Key("max", &S::max, CountType({.min = 0, .max = 100'000}),
           "Idle connections kept for each endpoint")
      .Done();
}

Type<ListenerTls> DescribeListenerTls() {
  using S = ListenerTls;
  return Section<S>("listener_tls")
      .Key("cert", &S::cert, FileType(), "The certificate and those between it and the CA, as PEM")
      .Key("key", &S::key, FileType(), "Its private key, as PEM without a password")
      .Key("client_ca", &S::client_ca, FileType(), "Whom certificates of clients must come from")
      .Key("client_auth", &S::client_auth,
           OneWordOf<ClientAuth>({{"none", ClientAuth::kNone},
                                  {"optional", ClientAuth::kOptional},
                                  {"require", ClientAuth::kRequire}}),
           "Whether clients may or must show a certificate")
      .Key("client_san", &S::client_san, List(SanRuleType(), {.max = 200, .unique = true}),
           "Which of them are let in, by the names in their certificates: "
           "`spiffe://example.org/ns/prod/*`, `spiffe://example.org/sa/web`, "
           "`dns:web.example.org` or `dns:*.example.org`; empty lets in all")
      .Done();
}

Type<UpstreamTls> DescribeUpstreamTls() {
  using S = UpstreamTls;
  return Section<S>("upstream_tls")
      .Key("ca", &S::ca, FileType(), "Whom the service's certificate must come from",
           "whom the system trusts")
      .Key("cert", &S::cert, FileType(), "A certificate to show to the service, as PEM")
      .Key("key", &S::key, FileType(), "Its private key, as PEM without a password")
      .Key("server_name", &S::server_name, HostNameType(),
           "The name to ask for and to find in the certificate", "the endpoint's host")
      .Key(
          "server_san", &S::server_san, List(SanRuleType(), {.max = 200, .unique = true}),
          "Names of which the certificate must carry one, instead of the server's name, written as "
          "for `client_san`")
      .Done();
}

}  // namespace

Type<AdminConfig> DescribeAdmin() {
  using S = AdminConfig;
  return Section<S>("admin")
      .Key("address", &S::address, AddressType(AddressUse::kListen),
           "Probes, /metrics and hooks of the app are answered to everyone, all else to loopback "
           "only. A change needs a restart")
      .Key("drain", &S::drain, DescribeDrain(), "Shutting down")
      .Key("grpc_address", &S::grpc_address, Or("none", AddressType(AddressUse::kListen)),
           "Where to serve grpc.health.v1.Health for gRPC probes, services `liveness`, `readiness` "
           "and `startup`; loads the gRPC module. A change needs a restart")
      .Later("token_file", "A token asked for on top of loopback")
      .Done();
}

Type<ListenerConfig> DescribeListener() {
  using S = ListenerConfig;
  return Section<S>("listener")
      .KeepsLocation(&S::where)
      .Key("name", &S::name, NameType(), "Shown in metrics and logs")
      .Key("address", &S::address, AddressType(AddressUse::kListen), "Where to listen")
      .Key("protocol", &S::protocol,
           OneWordOf<ListenerProtocol>({{"auto", ListenerProtocol::kAuto},
                                        {"http1", ListenerProtocol::kHttp1},
                                        {"http2", ListenerProtocol::kHttp2}}),
           "What clients speak; `auto` is HTTP/1.1, and HTTP/2 for those that begin with its "
           "preface or choose it by ALPN")
      .Key("tls", &S::tls, Or("none", DescribeListenerTls()),
           "TLS on the listener; the files are loaded again when they change")
      .Key("forwarded_client_cert", &S::forwarded_client_cert,
           OneWordOf<ForwardedCert>({{"sanitize", ForwardedCert::kSanitize},
                                     {"forward", ForwardedCert::kForward},
                                     {"append", ForwardedCert::kAppend},
                                     {"set", ForwardedCert::kSet}}),
           "`X-Forwarded-Client-Cert` to the service: remove it, pass it on, add this client's "
           "certificate to it, or replace it by that")
      .Key("limits", &S::limits, DescribeLimits(), "What clients may ask for")
      .Key(
          "half_close", &S::half_close,
          OneWordOf<HalfClose>({{"gone", HalfClose::kGone}, {"allow", HalfClose::kAllow}}),
          "What it means that a client closed its side while it waits: it has left, or it waits on")
      .Key(
          "upgrades", &S::upgrades, List(UpgradeType(), {.max = 16, .unique = true}),
          "Protocols that requests may change to, by `Upgrade` of HTTP/1.1 or by the extended "
          "CONNECT of HTTP/2; of others the wish is not passed on. HTTP and TLS are not among them")
      .Key("trusted_hops", &S::trusted_hops, CountType({.min = 0, .max = 16}),
           "Proxies in front whose `X-Forwarded-For` is believed: the access log names the client "
           "that the outermost of them saw")
      .Key("unmatched", &S::unmatched,
           OneWordOf<Unmatched>({{"forward", Unmatched::kForward}, {"404", Unmatched::kNotFound}}),
           "What happens to requests that no route claims")
      .Key("upstream", &S::upstream, NameType(), "Where requests go for which no route says it",
           "the first upstream")
      .Done();
}

Type<UpstreamConfig> DescribeUpstream() {
  using S = UpstreamConfig;
  return Section<S>("upstream")
      .KeepsLocation(&S::where)
      .Key("name", &S::name, NameType(), "What listeners and routes refer to")
      .Key("endpoints", &S::endpoints,
           List(AddressType(AddressUse::kConnect), {.min = 1, .max = 1000, .unique = true}),
           "Addresses or DNS names of the service")
      .Key("protocol", &S::protocol,
           OneWordOf<UpstreamProtocol>(
               {{"http1", UpstreamProtocol::kHttp1}, {"http2", UpstreamProtocol::kHttp2}}),
           "What the service speaks; `http2` by prior knowledge, or over `tls`, where it has to "
           "choose it by ALPN; many requests on a connection. gRPC needs `http2`")
      .Key("tls", &S::tls, Or("none", DescribeUpstreamTls()),
           "TLS to the service, always verified; `{}` is enough for a public certificate")
      .Key("balance", &S::balance,
           OneWordOf<Balance>(
               {{"least_request", Balance::kLeastRequest}, {"round_robin", Balance::kRoundRobin}},
               {"hash"}),
           "How an endpoint is chosen")
      .Key("max_requests", &S::max_requests, Or("none", CountType({.min = 1, .max = 1'000'000})),
           "Concurrent requests; beyond it 503")
      .Key("connect_timeout", &S::connect_timeout, Or("auto", DurationType()),
           "How long connecting may take; `auto` is 300ms to this machine and 1s to others")
      .Key("keepalive", &S::keepalive, DescribeKeepalive(), "Reuse of connections")
      .Key("health", &S::health, DescribeHealth(), "The check that readiness depends on")
      .Done();
}

}  // namespace outrigger::config
