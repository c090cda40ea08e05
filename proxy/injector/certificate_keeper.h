// Keeps a certificate of the injector's own in use, and the API server told of it.
//
//   CertificateKeeper keeper(loop, api, context, log, options);
//   absl::Status status = keeper.Begin();          // the first certificate is in `context`
//   scope.Spawn(keeper.Run());
//   keeper.Problem()                               // empty: the API server trusts it
//
// After two thirds of its life a certificate gets a successor, which the API server is told of
// before it is shown to anybody, so that no handshake fails (SE-2). Every few seconds the keeper
// looks whether the certificates are still in the configuration, which a new release of the chart
// or another hand may have written anew. What fails is logged when it begins and when it is over,
// and tried again. Keys stay in this process.
//
// One thread; what is passed outlives the object.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proxy/coro/task.h"
#include "proxy/event/loop.h"
#include "proxy/injector/api_client.h"
#include "proxy/log/logger.h"
#include "proxy/tls/self_signed.h"
#include "proxy/tls/server_context.h"

namespace outrigger::injector {

class CertificateKeeper {
 public:
  struct Options {
    std::string configuration;     // name of the MutatingWebhookConfiguration
    std::string replica;           // tells this process from others: the pod's name
    std::vector<std::string> dns;  // by which the API server calls us
    absl::Duration lifetime = absl::Hours(24 * 30);
  };
  using CallFunction = std::function<Task<absl::StatusOr<ApiAnswer>>(ApiCall call)>;

  // `call` asks the API server. `on_new` is told when a certificate took the place of another.
  CertificateKeeper(Loop& loop, CallFunction call, tls::ServerContext& context, log::Logger& log,
                    Options options, std::function<void()> on_new);

  absl::Status Begin();
  // Until it is dropped. REQUIRES: Begin() has succeeded.
  Task<void> Run();
  // Why the API server cannot be expected to trust the certificate yet; empty: it can.
  std::string Problem() const;

 private:
  struct Certificate {
    tls::SelfSigned made;
    absl::Time begin;
    std::optional<MonoTime> told;  // the API server knows it since then
  };

  absl::StatusOr<Certificate> Make() const;
  void MakeNext();
  // Puts the next certificate into use when its time has come.
  void Advance();
  bool HasSpread(const Certificate& certificate, absl::Duration wait) const;
  Task<absl::Status> Tell();
  Task<absl::Status> TellOnce();
  void Note(const absl::Status& status);

  Loop& loop_;
  const CallFunction call_;
  tls::ServerContext& context_;
  log::Logger& log_;
  const Options options_;
  const std::function<void()> on_new_;
  std::optional<Certificate> current_;
  std::optional<Certificate> next_;
  std::string problem_ = "the API server was not told of the certificate yet";  // the last one
  bool has_failed_ = false;
};

}  // namespace outrigger::injector
