// JSON lines on standard output that never hold up whoever logs (OB-5).
//
//   LogService logs({.level = Level::kInfo});
//   Logger& log = logs.NewLogger();                                 // one for each worker
//   log.Info("breaker_transition").Str("breaker", id).Int("failures", n);
//   logs.shared().Warn("config_rejected").Str("path", path);        // any thread, takes a mutex
//
//   {"ts":"2026-11-20T13:41:31.123Z","level":"info","event":"breaker_transition",...}
//
// A line is formatted into the logger's own buffer and copied into its ring when the LogEvent goes
// away: no allocation, no lock, no system call under load. One thread writes the rings out, at the
// latest 50 ms later; a ring that is full drops the line and counts it. A level that is off costs a
// load and a compare. Lines of one logger keep their order; between loggers, sort by ts.
//
// Never log bodies, keys or Authorization; HashForLog() (hash.h) is for names that identify a
// caller.
//
// Loggers belong to the service, which must outlive their use. A Logger from NewLogger() is used by
// one thread. A LogEvent lives within one expression or block, never across a co_await. The
// destructor of the service writes what is left, for at most `shutdown_timeout`.

#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "proxy/log/line.h"
#include "proxy/log/ring.h"

namespace outrigger::log {

enum class Level : uint8_t { kDebug, kInfo, kWarn, kError, kOff };

std::string_view LevelName(Level level);
// "debug", "info", "warn", "error", "off".
std::optional<Level> ParseLevel(std::string_view name);

class LogService;
class Logger;
class Writer;

// A line in the making; committed when destroyed. All methods do nothing when its level is off.
class LogEvent {
 public:
  ~LogEvent();
  LogEvent(const LogEvent&) = delete;
  LogEvent& operator=(const LogEvent&) = delete;

  bool is_enabled() const { return line_ != nullptr; }
  LogEvent& Str(std::string_view key, std::string_view value) {
    if (line_ != nullptr) line_->Str(key, value);
    return *this;
  }
  LogEvent& Int(std::string_view key, int64_t value) {
    if (line_ != nullptr) line_->Int(key, value);
    return *this;
  }
  LogEvent& Uint(std::string_view key, uint64_t value) {
    if (line_ != nullptr) line_->Uint(key, value);
    return *this;
  }
  LogEvent& Float(std::string_view key, double value) {
    if (line_ != nullptr) line_->Float(key, value);
    return *this;
  }
  LogEvent& Bool(std::string_view key, bool value) {
    if (line_ != nullptr) line_->Bool(key, value);
    return *this;
  }
  LogEvent& Millis(std::string_view key, absl::Duration value) {
    if (line_ != nullptr) line_->Millis(key, absl::ToInt64Nanoseconds(value));
    return *this;
  }
  // For arrays and nested objects. REQUIRES: is_enabled().
  Line& line() { return *line_; }

 private:
  friend class Logger;

  LogEvent() = default;
  LogEvent(Logger& logger, Line& line, std::unique_ptr<Line> own)
      : logger_(&logger), line_(&line), own_line_(std::move(own)) {}

  Logger* logger_ = nullptr;
  Line* line_ = nullptr;
  std::unique_ptr<Line> own_line_;
};

class Logger {
 public:
  Logger(const Logger&) = delete;
  Logger& operator=(const Logger&) = delete;

  bool is_enabled(Level level) const;
  // `event` is a name in snake_case.
  LogEvent Log(Level level, std::string_view event);
  LogEvent Debug(std::string_view event) { return Log(Level::kDebug, event); }
  LogEvent Info(std::string_view event) { return Log(Level::kInfo, event); }
  LogEvent Warn(std::string_view event) { return Log(Level::kWarn, event); }
  LogEvent Error(std::string_view event) { return Log(Level::kError, event); }

 private:
  friend class LogEvent;
  friend class LogService;

  enum class Use { kOneThread, kAnyThread };

  // "2026-11-20T13:41:31." for the second it was made in.
  struct Second {
    int64_t unix_seconds = INT64_MIN;
    char text[20];
  };

  Logger(LogService& service, size_t ring_bytes, Use use);
  void Commit(Line& line);
  void Begin(Line& line, Level level, std::string_view event);

  LogService& service_;
  const Use use_;
  std::mutex mutex_;  // kAnyThread: makes the producers of the ring one
  Ring ring_;
  std::atomic<uint64_t> dropped_lines_{0};
  Second second_;
  bool is_line_in_use_ = false;
  Line line_;
};

class LogService {
 public:
  struct Options {
    int fd = 1;  // not owned
    Level level = Level::kInfo;
    size_t ring_bytes = 256 * 1024;  // for each worker
    size_t shared_ring_bytes = 64 * 1024;
    absl::Duration flush_interval = absl::Milliseconds(50);
    absl::Duration shutdown_timeout = absl::Seconds(1);
    // Milliseconds since 1970; tests replace it.
    int64_t (*wall_clock_ms)() = nullptr;
  };

  explicit LogService(Options options);
  ~LogService();
  LogService(const LogService&) = delete;
  LogService& operator=(const LogService&) = delete;

  // Thread-safe, all of them.
  Logger& NewLogger();
  Logger& shared() { return *shared_; }
  Level level() const { return level_.load(std::memory_order_relaxed); }
  void set_level(Level level) { level_.store(level, std::memory_order_relaxed); }
  // Lines given up because a ring was full or could not be written (outrigger_logs_dropped_total).
  uint64_t dropped_lines() const;
  // Waits until everything committed before the call is written; false when `timeout` comes first.
  bool Flush(absl::Duration timeout);

 private:
  friend class Logger;

  void AfterPush(Ring& ring);

  const Options options_;
  std::atomic<Level> level_;
  mutable std::mutex mutex_;  // guards loggers_
  std::vector<std::unique_ptr<Logger>> loggers_;
  Logger* shared_ = nullptr;
  std::unique_ptr<Writer> writer_;
};

}  // namespace outrigger::log
