#include "proxy/grpc_module/health_server.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace outrigger {
namespace {

namespace fs = std::filesystem;

constexpr char kFileName[] = "liboutrigger_grpc.so";
constexpr size_t kErrorBytes = 256;

constexpr std::array<const char*, GrpcHealthServer::kServices> kNames = {"liveness", "readiness",
                                                                         "startup"};

absl::StatusOr<const OutriggerGrpcModule*> Load(const std::string& path) {
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    return absl::NotFoundError(absl::StrCat(
        "admin.grpc_address needs the gRPC module, which cannot be loaded: ", dlerror()));
  }
  const auto entry = reinterpret_cast<OutriggerGrpcEntry>(dlsym(handle, OUTRIGGER_GRPC_ENTRY));
  const OutriggerGrpcModule* const module = entry == nullptr ? nullptr : entry();
  if (module == nullptr || module->abi != OUTRIGGER_GRPC_ABI) {
    return absl::FailedPreconditionError(
        absl::StrCat(path, " is not the gRPC module of this version of outrigger"));
  }
  return module;
}

}  // namespace

std::string GrpcModulePath() {
  if (const char* const set = std::getenv("OUTRIGGER_GRPC_MODULE"); set != nullptr && *set != 0) {
    return set;
  }
  std::error_code error;
  const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
  const fs::path beside = folder / kFileName;
  const fs::path installed = folder.parent_path() / "lib" / "outrigger" / kFileName;
  return fs::exists(installed, error) && !fs::exists(beside, error) ? installed : beside;
}

absl::StatusOr<std::unique_ptr<GrpcHealthServer>> GrpcHealthServer::Start(
    const std::string& address, const std::string& module_path) {
  const absl::StatusOr<const OutriggerGrpcModule*> module = Load(module_path);
  if (!module.ok()) return module.status();
  int port = 0;
  char error[kErrorBytes] = "";
  OutriggerGrpcHealth* const server =
      (*module)->start_health(address.c_str(), &port, error, sizeof error);
  if (server == nullptr) return absl::UnavailableError(error);
  return std::unique_ptr<GrpcHealthServer>(new GrpcHealthServer(**module, server, port));
}

GrpcHealthServer::~GrpcHealthServer() { module_.stop_health(server_); }

void GrpcHealthServer::Set(Service service, bool is_serving) {
  Told& told = told_[service];
  const Told news = is_serving ? Told::kServing : Told::kNotServing;
  if (told == news) return;
  told = news;
  module_.set_health(server_, kNames[service], is_serving ? 1 : 0);
  if (service == kReadiness) module_.set_health(server_, "", is_serving ? 1 : 0);
}

}  // namespace outrigger
