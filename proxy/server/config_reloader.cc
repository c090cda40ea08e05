#include "proxy/server/config_reloader.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace outrigger::server {
namespace {

// For how long a changed file must have been left alone.
constexpr absl::Duration kQuiet = absl::Milliseconds(100);
constexpr absl::Duration kRetry = absl::Seconds(5);

}  // namespace

ConfigReloader::ConfigReloader(Loop& loop, Parts parts)
    : Timer(loop),
      parts_(std::move(parts)),
      acted_on_(parts_.origin.stamp),
      had_file_(acted_on_.exists),
      had_content_(acted_on_.size > 0) {}

void ConfigReloader::Look() {
  const std::string& file = parts_.origin.source.file;
  if (is_stopped_ || file.empty()) return;
  const FileStamp stamp = FileStamp::Of(file);
  const MonoTime now = loop().Now();
  if (stamp == acted_on_) {
    seen_.reset();
    return;
  }
  if (seen_ != stamp) {
    seen_ = stamp;
    seen_at_ = now;
  }
  if (now < seen_at_ + kQuiet) {
    Arm(std::min(seen_at_ + kQuiet, retry_at_));
    return;
  }
  Reload("file");
}

void ConfigReloader::OnSignal() {
  if (is_stopped_) {
    parts_.log.Warn("config_reload_ignored").Str("why", "the proxy is draining");
  } else if (parts_.origin.source.file.empty()) {
    parts_.log.Warn("config_reload_ignored").Str("why", "there is no configuration file");
  } else {
    Reload("signal");
  }
}

void ConfigReloader::Stop() {
  is_stopped_ = true;
  Disarm();
}

void ConfigReloader::OnTimer() {
  if (loop().Now() >= retry_at_) {
    Reload("retry");
  } else {
    Look();
  }
  if (!is_armed()) Arm(retry_at_);
}

std::optional<std::string> ConfigReloader::Obstacle() const {
  if (had_file_ && !acted_on_.exists) return "the file is gone";
  if (had_content_ && acted_on_.exists && acted_on_.size == 0) {
    return "the file is empty; {} would ask for the defaults";
  }
  return std::nullopt;
}

void ConfigReloader::Reload(std::string_view why) {
  if (is_taking_over_) {
    is_wanted_ = true;
    return;
  }
  const bool is_retry = why == "retry";
  retry_at_ = MonoTime::Infinite();
  if (!is_retry) refusal_.clear();
  seen_.reset();
  // Before it is read: what changes meanwhile is seen the next time.
  const config::Source& source = parts_.origin.source;
  acted_on_ = FileStamp::Of(source.file);
  if (const std::optional<std::string> obstacle = Obstacle(); obstacle.has_value()) {
    Fail({source.file, {{config::SourceLocation{}, "", *obstacle}}});
    return;
  }
  const std::shared_ptr<const config::Config> running = parts_.status.view().config;
  Expected<config::Config, config::ConfigErrors> loaded = config::Load(source, running.get());
  if (!loaded.ok()) {
    Fail(loaded.error());
    return;
  }
  auto next = std::make_shared<const config::Config>(std::move(loaded).value());
  is_taking_over_ = true;
  const absl::Status taken =
      parts_.take_over(next, [this, next, why = std::string(why)] { OnTakenOver(next, why); });
  if (taken.ok()) return;
  is_taking_over_ = false;
  Refuse(fmt::format("{}: {}", source.file,
                     std::string_view(taken.message().data(), taken.message().size())));
}

void ConfigReloader::OnTakenOver(const std::shared_ptr<const config::Config>& config,
                                 std::string_view why) {
  is_taking_over_ = false;
  had_file_ = had_file_ || acted_on_.exists;
  had_content_ = acted_on_.size > 0;
  parts_.status.SetLoaded(config, loop().WallNow());
  parts_.log.Info("config_reloaded")
      .Str("file", parts_.origin.source.file)
      .Str("why", why)
      .Uint("generation", parts_.status.view().generation);
  if (std::exchange(is_wanted_, false) && !is_stopped_) Reload("signal");
}

void ConfigReloader::Fail(const config::ConfigErrors& errors) {
  std::vector<std::string> problems;
  for (const config::ConfigError& error : errors.errors) {
    problems.push_back(config::ConfigErrors{errors.file, {error}}.ToString());
    log::LogEvent event = parts_.log.Error("config_refused");
    event.Str("file", errors.file);
    if (error.where.line > 0) event.Int("line", error.where.line).Int("column", error.where.column);
    if (!error.path.empty()) event.Str("key", error.path);
    event.Str("error", error.message);
  }
  parts_.status.SetFailed(std::move(problems));
}

// The file is good, what it names is not.
void ConfigReloader::Refuse(std::string problem) {
  if (refusal_ != problem) {
    parts_.log.Error("config_refused")
        .Str("file", parts_.origin.source.file)
        .Str("error", problem)
        .Millis("retry_ms", kRetry);
  }
  refusal_ = problem;
  parts_.status.SetFailed({std::move(problem)});
  retry_at_ = loop().Now() + kRetry;
  Arm(retry_at_);
}

}  // namespace outrigger::server
