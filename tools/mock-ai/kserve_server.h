// The mock service's gRPC side: KServe v2 (Open Inference Protocol) with Triton's stream, by gRPC++.
//
//   absl::StatusOr<std::unique_ptr<KserveServer>> kserve =
//       KserveServer::Start("127.0.0.1:0", *server);
//   std::thread thread([&] { server->Run(); });
//   ... talk to (*kserve)->address() ...
//
// Calls share ledger, faults and token times with the HTTP side: each goes through the server's
// loop for them, and waits for its tokens on a thread of gRPC's. The id of an execution is the
// metadata x-mock-id, else idempotency-key; x-mock-fault asks for a fault.
//
// Destroy it before `server`, and after Run() has returned or will return.

#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tools/mock-ai/server.h"

namespace outrigger::mock_ai {

class KserveServer {
 public:
  // An error names the address.
  static absl::StatusOr<std::unique_ptr<KserveServer>> Start(const std::string& address,
                                                             Server& server);
  ~KserveServer();
  KserveServer(const KserveServer&) = delete;
  KserveServer& operator=(const KserveServer&) = delete;

  // With the real port.
  const std::string& address() const;

 private:
  class Impl;

  explicit KserveServer(std::unique_ptr<Impl> impl);

  std::unique_ptr<Impl> impl_;
};

}  // namespace outrigger::mock_ai
