// What each path of the admin port does, without sockets.
//
//   GET     /livez /readyz /startupz      probes; ?verbose lists each check
//   GET     /health /healthz              as /livez
//   GET     /ready                        as /readyz
//   GET     /metrics
//   GET     /.outrigger/app-health/{container}/{probe}   the app's own probe, see app_probes.h
//   GET     /.outrigger/app-stop/{seconds}               the app's PreStop hook, see app_stops.h
//   and for clients on loopback only:
//   GET     /config
//   GET     /breakers
//   POST    /breakers/{id}:{open,close,auto}
//   GET     /idempotency
//   DELETE  /idempotency/{hash}
//   POST    /drain                        ?wait answers when it is over, ?timeout=20s bounds it
//   GET     /log-level
//   PUT     /log-level                    body: debug, info, warn, error or off
//
// HEAD is allowed where GET is. Runs on the admin thread.

#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/admin/backend.h"
#include "proxy/admin/health.h"
#include "proxy/admin/request.h"
#include "proxy/base/time.h"

namespace outrigger::admin {

struct Reply {
  int status = 200;
  std::string content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string allow;  // 405: the methods that would do
};

// Plain text of one line; `text` is without its end.
Reply TextReply(int status, std::string text);

// Answers one request, once, from any thread. Calls after the first do nothing; when the last copy
// goes away without one, the client gets 500.
using CompleteFunction = std::function<void(Reply)>;

// Answers what is asked for below one path. As Endpoints::Handle; `name` is what follows the path.
class Answerer {
 public:
  virtual ~Answerer() = default;
  virtual std::optional<Reply> Ask(std::string_view name, const Request& request,
                                   const std::function<CompleteFunction()>& make_complete) = 0;
};

class Endpoints {
 public:
  // `app_probes` and `app_stops`: what is below /.outrigger/.
  Endpoints(HealthState& health, Backend& backend, Answerer& app_probes, Answerer& app_stops)
      : health_(health), backend_(backend), app_probes_(app_probes), app_stops_(app_stops) {}

  // Nothing when the answer comes later through what `make_complete` returned.
  std::optional<Reply> Handle(const Request& request, MonoTime now,
                              const std::function<CompleteFunction()>& make_complete);

 private:
  struct Call;
  struct Endpoint;

  static const Endpoint kEndpoints[];

  std::optional<Reply> Probe(const Call& call, const HealthReport& report);
  std::optional<Reply> Livez(const Call& call);
  std::optional<Reply> Readyz(const Call& call);
  std::optional<Reply> Startupz(const Call& call);
  std::optional<Reply> AppProbe(const Call& call);
  std::optional<Reply> AppStop(const Call& call);
  std::optional<Reply> Metrics(const Call& call);
  std::optional<Reply> Config(const Call& call);
  std::optional<Reply> Breakers(const Call& call);
  std::optional<Reply> SetBreaker(const Call& call);
  std::optional<Reply> Idempotency(const Call& call);
  std::optional<Reply> ForgetKey(const Call& call);
  std::optional<Reply> Drain(const Call& call);
  std::optional<Reply> GetLogLevel(const Call& call);
  std::optional<Reply> SetLogLevel(const Call& call);

  HealthState& health_;
  Backend& backend_;
  Answerer& app_probes_;
  Answerer& app_stops_;
};

}  // namespace outrigger::admin
