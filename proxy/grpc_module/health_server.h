// The port for gRPC probes: grpc.health.v1.Health, by a module that is loaded for it (abi.h).
//
//   absl::StatusOr<std::unique_ptr<GrpcHealthServer>> server =
//       GrpcHealthServer::Start("0.0.0.0:15022", GrpcModulePath());
//   server.value()->Set(GrpcHealthServer::kReadiness, health.Ready().ok());
//
// The kubelet asks for one service by name: `liveness`, `readiness` or `startup`, which mean what
// /livez, /readyz and /startupz mean (HL-1 to HL-3). The empty name, which stands for the server as a
// whole, is readiness. Before the first Set() a service is not known (NOT_FOUND).
//
// Any thread, one at a time. The module stays loaded for the rest of the process: gRPC's threads
// outlive its servers.

#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proxy/grpc_module/abi.h"

namespace outrigger {

// Where the module is expected: OUTRIGGER_GRPC_MODULE when it is set, else beside the program, or
// in ../lib/outrigger seen from there.
std::string GrpcModulePath();

class GrpcHealthServer {
 public:
  enum Service { kLiveness, kReadiness, kStartup };
  static constexpr size_t kServices = 3;

  // An error names the module or the address, and what to do.
  static absl::StatusOr<std::unique_ptr<GrpcHealthServer>> Start(const std::string& address,
                                                                 const std::string& module_path);
  ~GrpcHealthServer();
  GrpcHealthServer(const GrpcHealthServer&) = delete;
  GrpcHealthServer& operator=(const GrpcHealthServer&) = delete;

  // Cheap when nothing has changed.
  void Set(Service service, bool is_serving);
  int port() const { return port_; }

 private:
  GrpcHealthServer(const OutriggerGrpcModule& module, OutriggerGrpcHealth* server, int port)
      : module_(module), server_(server), port_(port) {}

  enum class Told : char { kNothing, kServing, kNotServing };

  const OutriggerGrpcModule& module_;
  OutriggerGrpcHealth* const server_;
  const int port_;
  std::array<Told, kServices> told_{};
};

}  // namespace outrigger
