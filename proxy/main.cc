// The command line: serve, check, schema, wait, drain, inject, injector, version.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/admin/app_probes.h"
#include "proxy/config/config.h"
#include "proxy/config/units.h"
#include "proxy/inject/manifest.h"
#include "proxy/injector/injector.h"
#include "proxy/server/admin_client.h"
#include "proxy/server/process.h"
#include "proxy/server/version.h"

namespace {

using outrigger::Expected;
using outrigger::admin::AppProbe;
using outrigger::config::Config;
using outrigger::config::ConfigErrors;
using outrigger::config::Source;
using outrigger::server::Process;

// Exit codes: 1 the configuration is wrong or the proxy could not start, 2 wrong usage.
constexpr int kFailed = 1;
constexpr int kUsage = 2;

int Report(const ConfigErrors& errors) {
  fmt::print(stderr, "{}\n", errors.ToString());
  return kFailed;
}

int Serve(const Source& source, const std::vector<std::string>& app_health) {
  if (source.file.empty() && source.upstream.empty()) {
    fmt::print(stderr, "outrigger serve: give --config FILE or --upstream HOST:PORT, or both\n");
    return kUsage;
  }
  if (source.is_file_optional && source.upstream.empty()) {
    fmt::print(stderr, "outrigger serve: --optional needs --upstream HOST:PORT\n");
    return kUsage;
  }
  Process::Options options;
  for (const std::string& text : app_health) {
    absl::StatusOr<AppProbe> probe = outrigger::admin::ParseAppProbe(text);
    if (!probe.ok()) {
      fmt::print(stderr, "outrigger serve: --app-health {}\n",
                 std::string(probe.status().message()));
      return kUsage;
    }
    options.app_probes.push_back(*std::move(probe));
  }
  // It asks for a reload, for which the proxy may not be ready yet.
  std::signal(SIGHUP, SIG_IGN);
  // Before the file is read: what changes meanwhile is seen later.
  outrigger::server::ConfigOrigin origin{source, outrigger::FileStamp::Of(source.file)};
  Expected<Config, ConfigErrors> config = outrigger::config::Load(source);
  if (!config.ok()) return Report(config.error());
  auto process =
      outrigger::server::Process::Start(std::make_shared<const Config>(std::move(config).value()),
                                        std::move(origin), std::move(options));
  if (!process.ok()) {
    fmt::print(stderr, "outrigger: {}\n", std::string(process.status().message()));
    return kFailed;
  }
  return (*process)->Run();
}

int Check(const std::string& file) {
  Expected<Config, ConfigErrors> config = outrigger::config::LoadFile(file);
  if (!config.ok()) return Report(config.error());
  fmt::print("{}: ok\n", file);
  return 0;
}

int Schema(const std::string& format) {
  if (format == "markdown") {
    fmt::print("{}", outrigger::config::ReferencePage());
  } else {
    fmt::print("{}\n", outrigger::config::JsonSchema().dump(2));
  }
  return 0;
}

int Drain(const outrigger::server::DrainRequest& request) {
  const absl::Status status = RequestDrain(request);
  if (status.ok()) return 0;
  fmt::print(stderr, "outrigger drain: {}\n", std::string(status.message()));
  return kFailed;
}

int Wait(const outrigger::server::StartRequest& request) {
  const absl::Status status = AwaitStart(request);
  if (status.ok()) return 0;
  fmt::print(stderr, "outrigger wait: {}\n", std::string(status.message()));
  return kFailed;
}

// Of an option --timeout; nothing, with a message, when it is none.
std::optional<absl::Duration> ParseTimeout(const char* command, const std::string& text) {
  const absl::StatusOr<absl::Duration> timeout = outrigger::config::ParseDuration(text);
  if (timeout.ok()) return *timeout;
  fmt::print(stderr, "outrigger {}: --timeout: {}\n", command,
             std::string(timeout.status().message()));
  return std::nullopt;
}

int Inject(const outrigger::inject::Options& options) {
  const std::string text(std::istreambuf_iterator<char>(std::cin), {});
  const absl::StatusOr<outrigger::inject::Injected> injected =
      outrigger::inject::InjectManifests(options, text);
  if (!injected.ok()) {
    fmt::print(stderr, "outrigger inject: {}\n", std::string(injected.status().message()));
    return kFailed;
  }
  for (const std::string& remark : injected->remarks) {
    fmt::print(stderr, "outrigger inject: {}\n", remark);
  }
  fmt::print("{}", injected->text);
  return 0;
}

// How long a certificate of the injector's own may be good for.
constexpr absl::Duration kShortestLife = absl::Seconds(10);
constexpr absl::Duration kLongestLife = absl::Hours(24 * 366);

int RunInjector(outrigger::injector::Settings settings, const std::string& lifetime) {
  const bool has_files = !settings.cert.empty() && !settings.key.empty();
  const bool makes_own = !settings.configuration.empty() && !settings.dns.empty();
  if (has_files == makes_own || settings.cert.empty() != settings.key.empty()) {
    fmt::print(stderr,
               "outrigger injector: give --cert FILE and --key FILE, or --configuration NAME and "
               "--dns-name NAME\n");
    return kUsage;
  }
  const absl::StatusOr<absl::Duration> parsed = outrigger::config::ParseDuration(lifetime);
  if (!parsed.ok() || *parsed < kShortestLife || *parsed > kLongestLife) {
    fmt::print(stderr, "outrigger injector: --lifetime: {}\n",
               parsed.ok() ? "from 10s to 366d" : std::string(parsed.status().message()));
    return kUsage;
  }
  settings.lifetime = *parsed;
  auto injector = outrigger::injector::Injector::Start(settings);
  if (!injector.ok()) {
    fmt::print(stderr, "outrigger injector: {}\n", std::string(injector.status().message()));
    return kFailed;
  }
  return (*injector)->Run();
}

int Main(int argc, char** argv) {
  CLI::App app{"A lightweight L7 sidecar proxy for AI service containers.", "outrigger"};
  app.require_subcommand(1);
  app.set_version_flag("--version", std::string(outrigger::server::kVersion));

  Source source;
  CLI::App* serve = app.add_subcommand("serve", "Run the proxy");
  serve->add_option("--config", source.file, "Configuration file (YAML)");
  serve->add_option("--upstream", source.upstream,
                    "In front of HOST:PORT or unix:/path; with a file: its first upstream");
  serve->add_flag("--optional", source.is_file_optional,
                  "Run with the defaults when the file does not exist");

  std::vector<std::string> app_health;
  serve
      ->add_option(
          "--app-health", app_health,
          "NAME=http://127.0.0.1:PORT/PATH: a probe of the app that the admin port puts to "
          "it on GET /.outrigger/app-health/NAME")
      ->allow_extra_args(false);

  std::string checked_file;
  CLI::App* check = app.add_subcommand("check", "Check a configuration file and say what is wrong");
  check->add_option("--config", checked_file, "Configuration file (YAML)")->required();

  std::string format = "json";
  CLI::App* schema = app.add_subcommand("schema", "Print the configuration's JSON Schema");
  schema->add_option("--format", format, "json, or markdown for the reference page")
      ->check(CLI::IsMember({"json", "markdown"}));

  outrigger::server::StartRequest start_request;
  std::string start_timeout = "120s";
  CLI::App* wait = app.add_subcommand("wait", "Return when a proxy has started");
  wait->add_option("--admin", start_request.admin, "The proxy's admin address")
      ->capture_default_str();
  wait->add_option("--timeout", start_timeout, "Fail when it has not by then")
      ->capture_default_str();

  outrigger::server::DrainRequest drain_request;
  std::string drain_timeout;
  CLI::App* drain = app.add_subcommand("drain", "Ask a running proxy to drain and end");
  drain->add_option("--admin", drain_request.admin, "The proxy's admin address")
      ->capture_default_str();
  drain->add_flag("--wait", drain_request.wait, "Return when it has drained");
  drain->add_option("--timeout", drain_timeout,
                    "Cut what still runs after this long, for example 20s");

  outrigger::inject::Options inject_options;
  CLI::App* inject = app.add_subcommand(
      "inject", "Put the sidecar into the Kubernetes manifests on standard input");
  inject->add_option("--image", inject_options.image, "The sidecar's image");
  inject->add_option("--port-name", inject_options.port_name,
                     "The port that it takes over; default: http");
  inject
      ->add_option("--sidecar", inject_options.kind,
                   "native: an init container that goes on running (Kubernetes 1.32 and later); "
                   "container: the first of the containers; default: native")
      ->check(CLI::IsMember({"native", "container"}));

  outrigger::injector::Settings injector_settings;
  std::string lifetime = "30d";
  CLI::App* injector = app.add_subcommand(
      "injector", "Run the admission webhook that puts the sidecar into new pods");
  injector->add_option("--listen", injector_settings.listen, "Address and port, over TLS")
      ->capture_default_str();
  injector->add_option("--definition", injector_settings.definition,
                       "The sidecar, as JSON of the chart's; default: that of its default values");
  injector->add_option("--cert", injector_settings.cert,
                       "Its certificate, loaded again when the file changes (PEM)");
  injector->add_option("--key", injector_settings.key, "The certificate's key (PEM)");
  injector->add_option("--configuration", injector_settings.configuration,
                       "Without files: make a certificate and tell this "
                       "MutatingWebhookConfiguration of it");
  injector->add_option("--dns-name", injector_settings.dns,
                       "A name for that certificate: SERVICE.NAMESPACE.svc");
  injector->add_option("--lifetime", lifetime, "Of that certificate; renewed after two thirds")
      ->capture_default_str();
  injector->add_option("--replica", injector_settings.replica,
                       "Tells replicas apart; default: the host's name");
  injector
      ->add_option("--service-account", injector_settings.service_account,
                   "Folder with token and ca.crt for the API server")
      ->capture_default_str();

  CLI::App* version = app.add_subcommand("version", "Print version and compiler");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  if (serve->parsed()) return Serve(source, app_health);
  if (check->parsed()) return Check(checked_file);
  if (schema->parsed()) return Schema(format);
  if (wait->parsed()) {
    const std::optional<absl::Duration> timeout = ParseTimeout("wait", start_timeout);
    if (!timeout.has_value()) return kUsage;
    start_request.timeout = *timeout;
    return Wait(start_request);
  }
  if (drain->parsed()) {
    if (!drain_timeout.empty()) {
      const std::optional<absl::Duration> timeout = ParseTimeout("drain", drain_timeout);
      if (!timeout.has_value()) return kUsage;
      drain_request.timeout = *timeout;
    }
    return Drain(drain_request);
  }
  if (inject->parsed()) return Inject(inject_options);
  if (injector->parsed()) return RunInjector(std::move(injector_settings), lifetime);
  if (version->parsed()) {
    fmt::print("outrigger {} ({})\n", outrigger::server::kVersion,
               outrigger::server::CompilerName());
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "outrigger: %s\n", error.what());
    return kFailed;
  }
}
