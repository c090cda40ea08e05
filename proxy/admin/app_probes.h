// Probes of an app that listens on loopback only, where the kubelet cannot reach it (HL-7): they
// come to the admin port, which asks the app on their behalf and passes the status on.
//
//   AppProbes probes(loop, {*ParseAppProbe("llm/readiness=http://127.0.0.1:8000/health")});
//   probes.Ask("llm/readiness", request, make_complete);   // of GET .../app-health/llm/readiness
//
// Only the probes that were declared can be asked for: whoever reaches the admin port must not
// reach whatever listens on loopback. The request's header fields go along, since a probe may state
// some. A bounded number is asked at once; the app has a minute, for the kubelet gives up when it
// wants to, and its leaving ends the question.
//
// Belongs to the loop's thread and never blocks it.

#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "proxy/admin/endpoints.h"
#include "proxy/admin/loop.h"
#include "proxy/admin/request.h"

namespace outrigger::admin {

struct AppProbe {
  std::string name;     // container/probe
  std::string address;  // 127.0.0.1:8000 or [::1]:8000
  std::string target;   // begins with a slash, fit for a request line
};

// "NAME=http://ADDRESS:PORT/PATH". InvalidArgument unless the address is on loopback.
absl::StatusOr<AppProbe> ParseAppProbe(std::string_view text);

// The header of the request to the app: the client's fields but those of its connection.
std::string AppProbeFields(const Request& request, std::string_view address);

class AppProbes final : public Answerer {
 public:
  static constexpr size_t kMaxAsking = 8;

  AppProbes(Loop& loop, std::vector<AppProbe> probes,
            absl::Duration patience = absl::Seconds(60));
  ~AppProbes() override;
  AppProbes(const AppProbes&) = delete;
  AppProbes& operator=(const AppProbes&) = delete;

  std::optional<Reply> Ask(std::string_view name, const Request& request,
                           const std::function<CompleteFunction()>& make_complete) override;
  // Nobody waits for what this client asked.
  void OnClientLeft(uint64_t client);

 private:
  class Question;

  bool MakeRoom();
  void Erase(const Question& question);

  Loop& loop_;
  const std::vector<AppProbe> probes_;
  const absl::Duration patience_;
  std::list<std::unique_ptr<Question>> questions_;  // the oldest first
};

}  // namespace outrigger::admin
