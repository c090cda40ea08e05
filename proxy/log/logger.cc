#include "proxy/log/logger.h"

#include <fmt/format.h>
#include <time.h>

#include <cstring>
#include <string>

#include "proxy/log/writer.h"

namespace outrigger::log {
namespace {

constexpr std::string_view kLevelNames[] = {"debug", "info", "warn", "error", "off"};

int64_t WallClockMillis() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return static_cast<int64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

LogService::Options WithDefaults(LogService::Options options) {
  if (options.wall_clock_ms == nullptr) options.wall_clock_ms = WallClockMillis;
  return options;
}

}  // namespace

std::string_view LevelName(Level level) { return kLevelNames[static_cast<size_t>(level)]; }

std::optional<Level> ParseLevel(std::string_view name) {
  for (size_t i = 0; i < std::size(kLevelNames); ++i) {
    if (kLevelNames[i] == name) return static_cast<Level>(i);
  }
  return std::nullopt;
}

LogEvent::~LogEvent() {
  if (line_ != nullptr) logger_->Commit(*line_);
}

Logger::Logger(LogService& service, size_t ring_bytes, Use use)
    : service_(service), use_(use), ring_(ring_bytes) {}

bool Logger::is_enabled(Level level) const { return level >= service_.level(); }

LogEvent Logger::Log(Level level, std::string_view event) {
  if (!is_enabled(level) || level == Level::kOff) return {};
  // A buffer of its own when threads may meet here, or when a value of the line that is being built
  // logs something itself.
  if (use_ == Use::kAnyThread || is_line_in_use_) {
    auto own = std::make_unique<Line>();
    Line& line = *own;
    Begin(line, level, event);
    return LogEvent(*this, line, std::move(own));
  }
  is_line_in_use_ = true;
  line_.Clear();
  Begin(line_, level, event);
  return LogEvent(*this, line_, nullptr);
}

void Logger::Begin(Line& line, Level level, std::string_view event) {
  const int64_t millis = service_.options_.wall_clock_ms();
  const int64_t seconds = millis / 1000;
  Second made_here;
  Second& second = use_ == Use::kOneThread ? second_ : made_here;
  if (second.unix_seconds != seconds) {
    const time_t time = static_cast<time_t>(seconds);
    tm date{};
    gmtime_r(&time, &date);
    fmt::format_to_n(second.text, sizeof(second.text), "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.",
                     date.tm_year + 1900, date.tm_mon + 1, date.tm_mday, date.tm_hour, date.tm_min,
                     date.tm_sec);
    second.unix_seconds = seconds;
  }
  char text[24];
  std::memcpy(text, second.text, sizeof(second.text));
  const auto fraction = static_cast<unsigned>(millis % 1000);
  text[20] = static_cast<char>('0' + fraction / 100);
  text[21] = static_cast<char>('0' + fraction / 10 % 10);
  text[22] = static_cast<char>('0' + fraction % 10);
  text[23] = 'Z';
  line.Str("ts", {text, sizeof(text)}).Str("level", LevelName(level)).Str("event", event);
}

void Logger::Commit(Line& line) {
  const std::string_view bytes = line.Finish();
  if (&line == &line_) is_line_in_use_ = false;
  std::unique_lock<std::mutex> lock(mutex_, std::defer_lock);
  if (use_ == Use::kAnyThread) lock.lock();
  if (!ring_.TryPush(bytes)) {
    dropped_lines_.store(dropped_lines_.load(std::memory_order_relaxed) + 1,
                         std::memory_order_relaxed);
  }
  service_.AfterPush(ring_);
}

LogService::LogService(Options options) : options_(WithDefaults(options)), level_(options_.level) {
  loggers_.emplace_back(new Logger(*this, options_.shared_ring_bytes, Logger::Use::kAnyThread));
  shared_ = loggers_.back().get();
  writer_ = std::make_unique<Writer>(options_.fd, options_.flush_interval);
  writer_->AddRing(shared_->ring_);
}

LogService::~LogService() { writer_->Stop(options_.shutdown_timeout); }

Logger& LogService::NewLogger() {
  std::unique_ptr<Logger> logger(new Logger(*this, options_.ring_bytes, Logger::Use::kOneThread));
  Logger& added = *logger;
  std::lock_guard lock(mutex_);
  loggers_.push_back(std::move(logger));
  writer_->AddRing(added.ring_);
  return added;
}

void LogService::AfterPush(Ring& ring) { writer_->AfterPush(ring); }

uint64_t LogService::dropped_lines() const {
  uint64_t sum = writer_->dropped_lines();
  std::lock_guard lock(mutex_);
  for (const auto& logger : loggers_) {
    sum += logger->dropped_lines_.load(std::memory_order_relaxed);
  }
  return sum;
}

bool LogService::Flush(absl::Duration timeout) { return writer_->Flush(timeout); }

}  // namespace outrigger::log
