#include "proxy/injector/api_client.h"

#include <fmt/format.h>

#include <fstream>
#include <optional>
#include <random>
#include <utility>

#include "absl/strings/ascii.h"
#include "proxy/coro/abortable.h"

namespace outrigger::injector {
namespace {

using http::ChunkResult;
using http::Failure;
using upstream::ConnectionLease;

constexpr absl::Duration kCallTimeout = absl::Seconds(10);
constexpr absl::Duration kConnectTimeout = absl::Seconds(3);
constexpr size_t kMaxTokenBytes = 64 << 10;
constexpr size_t kMaxAnswerBytes = 4 << 20;

class AbortTimer final : public Timer {
 public:
  AbortTimer(Loop& loop, Abortable<absl::StatusOr<ApiAnswer>>& what) : Timer(loop), what_(what) {}

 private:
  void OnTimer() override { what_.Abort(); }

  Abortable<absl::StatusOr<ApiAnswer>>& what_;
};

absl::StatusOr<std::string> ReadToken(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxTokenBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    return absl::UnavailableError(fmt::format("cannot read the token {}", path));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  const std::string token(absl::StripAsciiWhitespace(text));
  const bool is_one_word = token.find_first_of("\r\n\t ") == std::string::npos;
  if (token.empty() || token.size() > kMaxTokenBytes || !is_one_word) {
    return absl::UnavailableError(fmt::format("{} has no token", path));
  }
  return token;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ApiClient>> ApiClient::Make(EventLoop& loop, net::BufferPool& pool,
                                                           const ApiPlace& place) {
  const bool is_v6 = place.host.find(':') != std::string::npos;
  const std::string host = is_v6 ? fmt::format("[{}]", place.host) : place.host;
  const absl::StatusOr<net::Endpoint> endpoint =
      net::ParseEndpoint(fmt::format("{}:{}", host, place.port));
  if (!endpoint.ok()) return endpoint.status();
  std::unique_ptr<ApiClient> client(new ApiClient(loop, pool, place, *endpoint));
  const absl::Status loaded = client->context_.Load();
  if (!loaded.ok()) return loaded;
  return client;
}

ApiClient::ApiClient(EventLoop& loop, net::BufferPool& pool, const ApiPlace& place,
                     const net::Endpoint& endpoint)
    : loop_(loop),
      folder_(place.folder),
      authority_(endpoint.text),
      context_(tls::ClientOptions{.files = {.ca = place.folder + "/ca.crt"}}),
      random_(std::random_device{}()) {
  upstream::UpstreamOptions options;
  options.name = "kubernetes";
  options.keepalive_max = 0;
  options.endpoints.push_back({.endpoint = endpoint,
                               .connect_timeout = kConnectTimeout,
                               .new_session = [this, host = place.host](int fd) {
                                 return context_.NewSession(fd, host, handshake_);
                               }});
  upstream_ = std::make_unique<upstream::Upstream>(
      loop, pool, random_, std::move(options), std::make_shared<upstream::SharedUpstreamState>());
  if (!endpoint.needs_resolving()) return;
  resolver_ = std::make_unique<net::Resolver>(loop);
  name_watch_ = std::make_unique<upstream::NameWatch>(loop, *resolver_, *upstream_, 0, endpoint,
                                                      [](const absl::Status&) {});
}

absl::Status ApiClient::Failed(const ApiCall& call, std::string_view what) const {
  return absl::UnavailableError(fmt::format(
      "{} {} of the API server {}: {}", MethodName(call.method), call.target, authority_, what));
}

Task<absl::StatusOr<ApiAnswer>> ApiClient::Call(ApiCall call) {
  // Whatever keeps an earlier CA from being replaced, the handshake decides.
  (void)context_.LoadIfChanged();
  absl::StatusOr<std::string> token = ReadToken(folder_ + "/token");
  if (!token.ok()) co_return token.status();
  const absl::Status timed_out = Failed(call, "no answer in time");
  Abortable<absl::StatusOr<ApiAnswer>> exchange(Exchange(std::move(call), *std::move(token)));
  AbortTimer timeout(loop_, exchange);
  timeout.Arm(loop_.Now() + kCallTimeout);
  std::optional<absl::StatusOr<ApiAnswer>> answer = co_await exchange;
  if (!answer.has_value()) co_return timed_out;
  co_return *std::move(answer);
}

Task<absl::StatusOr<ApiAnswer>> ApiClient::Exchange(ApiCall call, std::string token) {
  handshake_.problem.clear();
  upstream::Upstream::Need need;
  need.must_be_new = true;
  Expected<ConnectionLease, Failure> lease = co_await upstream_->Connect(need);
  if (!lease.ok()) {
    co_return Failed(call, handshake_.problem.empty() ? ReasonName(lease.error().reason)
                                                      : std::string_view(handshake_.problem));
  }
  http::ClientStream& stream = lease->stream();
  const std::string authorization = "Bearer " + token;
  http::HeaderList headers;
  headers.Add("Authorization", authorization);
  headers.Add("Accept", "application/json");
  headers.Add("User-Agent", "outrigger-injector");
  if (!call.content_type.empty()) headers.Add("Content-Type", call.content_type);
  http::RequestHeadToSend head;
  head.method = call.method;
  head.method_name = MethodName(call.method);
  head.target = call.target;
  head.scheme = "https";
  head.authority = authority_;
  head.headers = &headers;
  head.has_body = !call.body.empty();
  if (head.has_body) head.body_length = call.body.size();
  if (!stream.SendHead(head)) co_return Failed(call, "the request cannot be sent");
  if (head.has_body) stream.SendData(call.body);
  stream.Finish(nullptr);

  http::HeaderList answer_headers;
  Expected<http::ReceivedHead, Failure> received =
      co_await stream.ReadHead(answer_headers, nullptr);
  if (!received.ok()) co_return Failed(call, ReasonName(received.error().reason));
  ApiAnswer answer;
  answer.status = received->status;
  bool is_over = !received->has_body;
  while (!is_over) {
    ChunkResult chunk = co_await stream.ReadBody();
    if (!chunk.ok()) co_return Failed(call, ReasonName(chunk.error().reason));
    answer.body += chunk->data;
    is_over = chunk->is_last;
    if (answer.body.size() > kMaxAnswerBytes) co_return Failed(call, "the answer is too large");
  }
  co_return answer;
}

}  // namespace outrigger::injector
