// liboutrigger_grpc.so: grpc.health.v1.Health by gRPC++. See abi.h.

#include <grpc/support/log.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/health_check_service_interface.h>
#include <grpcpp/resource_quota.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

#include "proxy/grpc_module/abi.h"

namespace {

// A port for probes needs little, and must not take what the proxy is there for.
constexpr size_t kMaxMemoryBytes = 8 << 20;
constexpr int kMaxThreads = 4;
constexpr auto kStopPatience = std::chrono::milliseconds(200);

// Answers every other method with UNIMPLEMENTED. Without a second service a server that has only
// the built-in one does not start.
class NothingElse final : public grpc::CallbackGenericService {};

}  // namespace

struct OutriggerGrpcHealth {
  NothingElse nothing_else;
  std::unique_ptr<grpc::Server> server;
};

namespace {

OutriggerGrpcHealth* StartHealth(const char* address, int* port, char* error, size_t error_size) {
  // A failure is told by the caller, with its own words.
  gpr_set_log_function([](gpr_log_func_args*) {});
  grpc::EnableDefaultHealthCheckService(true);
  auto health = std::make_unique<OutriggerGrpcHealth>();
  grpc::ResourceQuota quota("health");
  quota.Resize(kMaxMemoryBytes).SetMaxThreads(kMaxThreads);
  grpc::ServerBuilder builder;
  builder.SetResourceQuota(quota);
  // A second process with the same port is a mistake, and is told.
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddListeningPort(address, grpc::InsecureServerCredentials(), port);
  builder.RegisterCallbackGenericService(&health->nothing_else);
  health->server = builder.BuildAndStart();
  if (health->server == nullptr || health->server->GetHealthCheckService() == nullptr) {
    std::snprintf(error, error_size, "cannot serve gRPC at %s: port in use, or no such address",
                  address);
    return nullptr;
  }
  return health.release();
}

void SetHealth(OutriggerGrpcHealth* health, const char* service, int is_serving) {
  health->server->GetHealthCheckService()->SetServingStatus(service, is_serving != 0);
}

void StopHealth(OutriggerGrpcHealth* health) {
  const std::unique_ptr<OutriggerGrpcHealth> owned(health);
  owned->server->Shutdown(std::chrono::system_clock::now() + kStopPatience);
  owned->server->Wait();
}

constexpr OutriggerGrpcModule kModule = {OUTRIGGER_GRPC_ABI, StartHealth, SetHealth, StopHealth};

}  // namespace

extern "C" __attribute__((visibility("default"))) const OutriggerGrpcModule*
outrigger_grpc_module() {
  return &kModule;
}
