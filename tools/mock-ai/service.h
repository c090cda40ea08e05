// The endpoints: which answer a request gets. Knows nothing of sockets.
//
//   Exchange exchange = service.Open(head);          // once the head is there: id and faults
//   Answer answer = service.Handle(request, exchange, origin);
//   ... play the answer ...
//   service.Close(exchange, Ledger::Outcome::kCompleted, elapsed);
//
// One thread. Every opened exchange is closed once.

#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "tools/mock-ai/answer.h"
#include "tools/mock-ai/faults.h"
#include "tools/mock-ai/ledger.h"
#include "tools/mock-ai/tokens.h"

namespace outrigger::mock_ai {

struct ServiceOptions {
  uint64_t seed = 1;
  TokenOptions tokens;
  // Every time is stretched by 1 + load_factor * (executions in flight).
  double load_factor = 0;
  int64_t embedding_dimensions = 16;
  std::vector<std::string> models = {"mock-1"};
  size_t ledger_ids = 100'000;
};

// Where a request came in.
struct Origin {
  bool is_admin = false;  // through the admin listener
  uint64_t connection = 0;
  uint64_t nth_on_connection = 0;
};

// One request from its head to the end of its answer.
struct Exchange {
  std::string id;
  FaultPlan faults;
  Ledger::Ticket ticket;    // empty until it executes
  std::string fault_error;  // the asked fault was not understood
};

class Service {
 public:
  // What a request to /admin/listen asks of the server.
  enum class Connections { kKeep, kClose, kReset };
  using SetListening = std::function<absl::Status(bool open, Connections existing)>;

  Service(ServiceOptions options, SetListening set_listening);

  Exchange Open(const Request& head);
  Answer Handle(const Request& request, Exchange& exchange, const Origin& origin);
  // The answer before the body is read. REQUIRES: exchange.faults.early.
  Answer HandleEarly(const Request& head, Exchange& exchange);
  void Close(const Exchange& exchange, Ledger::Outcome outcome, absl::Duration elapsed);
  // The request has its effect. Handle() does this itself; for calls that it does not know.
  void Begin(const Request& request, Exchange& exchange);
  // Times of this exchange, with its faults and the load.
  TokenOptions TokensFor(const Exchange& exchange) const;
  uint64_t seed() const { return options_.seed; }

  Json LedgerJson() const { return ledger_.ToJson(); }
  bool is_idle() const { return ledger_.in_flight() == 0; }

 private:
  enum class Health { kOk, kUnavailable, kStall };

  double LoadStretch() const;
  Answer Route(const Request& request, Exchange& exchange, const Origin& origin);
  Answer Model(const Request& request, Exchange& exchange);
  Answer Effect(const Request& request, Exchange& exchange);
  Answer Echo(const Request& request, Exchange& exchange, const Origin& origin);
  Answer Bytes(const Request& request, Exchange& exchange, bool is_chunked);
  Answer HealthCheck() const;
  Answer LedgerCall(const Request& request);
  Answer Admin(const Request& request, const Origin& origin);
  Answer AdminFaults(const Request& request);
  Answer AdminHealth(const Json& body);
  Answer AdminListen(const Json& body, const Origin& origin);

  const ServiceOptions options_;
  const SetListening set_listening_;
  FaultQueue faults_;
  Ledger ledger_;
  Health health_ = Health::kOk;
  uint64_t next_id_ = 1;
};

}  // namespace outrigger::mock_ai
