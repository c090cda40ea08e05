// Calls to the API server with the credentials of the pod's service account.
//
//   absl::StatusOr<std::unique_ptr<ApiClient>> api = ApiClient::Make(loop, pool, place);
//   absl::StatusOr<ApiAnswer> answer = co_await (*api)->Call({.target = "/apis/..."});
//   if (answer.ok() && answer->status == 200) ...
//
// The token and the API server's CA are read anew for each call, since the kubelet replaces them.
// A call takes ten seconds at most and a connection of its own; the answer is bounded. Errors say
// what was tried and what came of it, never the token. One call at a time; one thread. Dropping the
// call gives it up.

#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "proxy/base/random.h"
#include "proxy/coro/task.h"
#include "proxy/event/event_loop.h"
#include "proxy/http/method.h"
#include "proxy/net/buffer_pool.h"
#include "proxy/net/resolver.h"
#include "proxy/tls/client_context.h"
#include "proxy/upstream/name_watch.h"
#include "proxy/upstream/upstream.h"

namespace outrigger::injector {

struct ApiPlace {
  std::string host;  // a name or an address
  std::string port;
  std::string folder;  // has the files `token` and `ca.crt`
};

struct ApiCall {
  http::Method method = http::Method::kGet;
  std::string target;
  std::string content_type;
  std::string body;
};

struct ApiAnswer {
  int status = 0;
  std::string body;
};

class ApiClient {
 public:
  // Errors: the place is no address, or its files cannot be used.
  static absl::StatusOr<std::unique_ptr<ApiClient>> Make(EventLoop& loop, net::BufferPool& pool,
                                                         const ApiPlace& place);

  // Unavailable, DeadlineExceeded or what is wrong with the files.
  Task<absl::StatusOr<ApiAnswer>> Call(ApiCall call);

 private:
  // Why the last handshake failed.
  struct HandshakeNote final : tls::SessionObserver {
    void OnHandshake(tls::HandshakeOutcome, std::string_view detail, int) override {
      problem = detail;
    }
    std::string problem;
  };

  ApiClient(EventLoop& loop, net::BufferPool& pool, const ApiPlace& place,
            const net::Endpoint& endpoint);
  Task<absl::StatusOr<ApiAnswer>> Exchange(ApiCall call, std::string token);
  absl::Status Failed(const ApiCall& call, std::string_view what) const;

  EventLoop& loop_;
  const std::string folder_;
  const std::string authority_;
  tls::ClientContext context_;
  HandshakeNote handshake_;
  Random random_;
  std::unique_ptr<upstream::Upstream> upstream_;
  std::unique_ptr<net::Resolver> resolver_;  // with a name
  std::unique_ptr<upstream::NameWatch> name_watch_;
};

}  // namespace outrigger::injector
