#include "proxy/injector/injector.h"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <utility>

#include "proxy/server/version.h"

namespace outrigger::injector {
namespace {

// Of bodies and buffers; the container has four times as much.
constexpr size_t kBudgetBytes = 32 << 20;
constexpr absl::Duration kWatchPeriod = absl::Seconds(1);
constexpr absl::Duration kLameDuck = absl::Seconds(5);
constexpr absl::Duration kDrainTimeout = absl::Seconds(15);
constexpr size_t kMaxDefinitionBytes = 1 << 20;

std::string_view Text(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 ? name : "";
}

std::string Environment(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

}  // namespace

class Injector::SignalEvent {
 public:
  SignalEvent(Injector& injector, int number)
      : injector_(injector),
        number_(number),
        event_(event_new(
            injector.loop_.base(), number, EV_SIGNAL | EV_PERSIST,
            [](evutil_socket_t, short, void* self) {
              auto* signal = static_cast<SignalEvent*>(self);
              signal->injector_.OnSignal(signal->number_);
            },
            this)) {
    event_add(event_, nullptr);
  }
  ~SignalEvent() { event_free(event_); }

 private:
  Injector& injector_;
  const int number_;
  event* event_;
};

class Injector::FileWatch final : public Timer {
 public:
  explicit FileWatch(Injector& injector) : Timer(injector.loop_), injector_(injector) { ArmNext(); }

 private:
  void OnTimer() override {
    injector_.LoadChangedFiles();
    ArmNext();
  }
  void ArmNext() { Arm(loop().Now() + kWatchPeriod); }

  Injector& injector_;
};

Injector::Injector(const Settings& settings)
    : settings_(settings),
      budget_(kBudgetBytes),
      pool_(budget_),
      logs_({}),
      tls_(tls::ServerOptions{.files = {.cert = settings.cert, .key = settings.key}}),
      metrics_(logs_, tls_),
      tasks_(loop_, "certificate") {}

Injector::~Injector() = default;

absl::StatusOr<std::unique_ptr<Injector>> Injector::Start(const Settings& settings) {
  std::unique_ptr<Injector> injector(new Injector(settings));
  absl::Status status = injector->ReadDefinition();
  if (status.ok()) status = injector->BeginCertificate();
  if (!status.ok()) return status;
  injector->webhook_ = std::make_unique<Webhook>(
      Webhook::Parts{.inject = {.definition = &*injector->definition_},
                     .log = injector->logs_.shared(),
                     .metrics = injector->metrics_,
                     .problem = [self = injector.get()] { return self->Problem(); }});
  injector->server_ =
      std::make_unique<Server>(injector->loop_, injector->pool_,
                               Server::Parts{.tls = injector->tls_,
                                             .handshakes = injector->metrics_.handshakes(),
                                             .webhook = *injector->webhook_,
                                             .log = injector->logs_.shared()});
  absl::StatusOr<net::SocketAddress> address = injector->server_->Listen(settings.listen);
  if (!address.ok()) return address.status();
  injector->address_ = *address;
  return injector;
}

absl::Status Injector::ReadDefinition() {
  definition_ = inject::Definition();
  if (settings_.definition.empty()) return absl::OkStatus();
  std::ifstream file(settings_.definition, std::ios::binary);
  std::string text(kMaxDefinitionBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad()) {
    return absl::NotFoundError(fmt::format("cannot read {}", settings_.definition));
  }
  text.resize(static_cast<size_t>(file.gcount()));
  absl::StatusOr<inject::Json> parsed = inject::ParseDefinition(text);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: {}", settings_.definition, Text(parsed.status())));
  }
  definition_ = *std::move(parsed);
  return absl::OkStatus();
}

absl::Status Injector::BeginCertificate() {
  if (!settings_.cert.empty()) {
    const absl::Status loaded = tls_.Load();
    if (loaded.ok()) watch_ = std::make_unique<FileWatch>(*this);
    return loaded;
  }
  const ApiPlace place{.host = Environment("KUBERNETES_SERVICE_HOST"),
                       .port = Environment("KUBERNETES_SERVICE_PORT"),
                       .folder = settings_.service_account};
  if (place.host.empty() || place.port.empty()) {
    return absl::FailedPreconditionError(
        "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: a certificate of its own "
        "needs a cluster; outside of one give --cert and --key");
  }
  absl::StatusOr<std::unique_ptr<ApiClient>> api = ApiClient::Make(loop_, pool_, place);
  if (!api.ok()) return api.status();
  api_ = *std::move(api);
  keeper_ = std::make_unique<CertificateKeeper>(
      loop_, [this](ApiCall call) { return api_->Call(std::move(call)); }, tls_, logs_.shared(),
      CertificateKeeper::Options{
          .configuration = settings_.configuration,
          .replica = settings_.replica.empty() ? HostName() : settings_.replica,
          .dns = settings_.dns,
          .lifetime = settings_.lifetime},
      [this] { metrics_.CountCertificate(true); });
  return keeper_->Begin();
}

std::string Injector::Problem() const {
  if (drain_ != nullptr && drain_->is_begun()) return "draining";
  return keeper_ != nullptr ? keeper_->Problem() : "";
}

void Injector::LoadChangedFiles() {
  const std::optional<absl::Status> loaded = tls_.LoadIfChanged();
  if (!loaded.has_value()) return;
  metrics_.CountCertificate(loaded->ok());
  if (loaded->ok()) {
    logs_.shared().Info("certificate_loaded").Str("file", settings_.cert);
  } else {
    logs_.shared().Error("certificate_failed").Str("error", Text(*loaded));
  }
}

void Injector::OnSignal(int number) {
  logs_.shared().Info("signal").Int("signal", number);
  if (drain_->is_begun()) {
    drain_->EndNow();
  } else {
    drain_->Begin();
  }
}

int Injector::Run() {
  server::Drain::Steps steps;
  steps.on_lame_duck = [this] {
    logs_.shared().Info("drain_begins");
    server_->BeginDrain();
  };
  steps.on_refuse = [this] { server_->RefuseNew(); };
  steps.on_cut = [this] { server_->CloseAll(); };
  steps.on_over = [this] {
    logs_.shared().Info("drain_over");
    loop_.Stop();
  };
  steps.has_refused = [] { return true; };
  steps.is_idle = [this] { return server_->is_idle(); };
  steps.is_app_gone = [] { return false; };
  drain_ = std::make_unique<server::Drain>(
      loop_, server::Drain::Times{.lame_duck = kLameDuck, .timeout = kDrainTimeout},
      std::move(steps));
  std::signal(SIGPIPE, SIG_IGN);
  for (const int number : {SIGTERM, SIGINT}) {
    signals_.push_back(std::make_unique<SignalEvent>(*this, number));
  }
  if (keeper_ != nullptr) tasks_.Spawn(keeper_->Run());
  const std::string kind = definition_->at("kind");
  logs_.shared()
      .Info("injector_started")
      .Str("version", server::kVersion)
      .Str("address", address_.ToString())
      .Str("image", definition_->at("sidecars").at(kind).value("image", ""))
      .Str("sidecar", kind);
  loop_.Run();
  return 0;
}

}  // namespace outrigger::injector
