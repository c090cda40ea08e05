#include "proxy/log/logger.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "proxy/base/time.h"

namespace outrigger::log {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

class Pipe {
 public:
  Pipe() { EXPECT_EQ(pipe2(fds_, O_CLOEXEC), 0); }
  ~Pipe() {
    CloseReader();
    CloseWriter();
  }
  int writer() const { return fds_[1]; }
  int reader() const { return fds_[0]; }
  void CloseReader() { Close(fds_[0]); }
  void CloseWriter() { Close(fds_[1]); }

  // What is in the pipe now.
  std::string ReadAvailable() {
    fcntl(fds_[0], F_SETFL, O_NONBLOCK);
    return ReadUntilEnd();
  }
  // Blocks until all writers have closed (or, after ReadAvailable(), until the pipe is empty).
  std::string ReadUntilEnd() {
    std::string text;
    char buffer[65536];
    for (ssize_t n; (n = read(fds_[0], buffer, sizeof(buffer))) > 0;) {
      text.append(buffer, static_cast<size_t>(n));
    }
    return text;
  }

 private:
  static void Close(int& fd) {
    if (fd >= 0) close(fd);
    fd = -1;
  }

  int fds_[2] = {-1, -1};
};

std::vector<nlohmann::json> ParseLines(const std::string& text) {
  std::vector<nlohmann::json> lines;
  size_t at = 0;
  while (at < text.size()) {
    const size_t end = text.find('\n', at);
    EXPECT_NE(end, std::string::npos) << "last line is cut";
    if (end == std::string::npos) break;
    auto json = nlohmann::json::parse(text.substr(at, end - at), nullptr, false);
    EXPECT_FALSE(json.is_discarded()) << text.substr(at, end - at);
    lines.push_back(std::move(json));
    at = end + 1;
  }
  return lines;
}

TEST(Logger, WritesOneJsonObjectALine) {
  Pipe out;
  LogService logs({.fd = out.writer(), .wall_clock_ms = [] { return int64_t{1795181491123}; }});
  Logger& log = logs.NewLogger();
  log.Info("breaker_transition")
      .Str("breaker", "app/chat")
      .Int("failures", 5)
      .Millis("open_for", absl::Milliseconds(5000));
  logs.shared()
      .Warn("config_rejected")
      .Bool("kept_last_good", true)
      .Float("ratio", 0.5)
      .Uint("n", 1);
  ASSERT_TRUE(logs.Flush(kPatience));
  const auto lines = ParseLines(out.ReadAvailable());
  ASSERT_EQ(lines.size(), 2u);
  std::map<std::string, nlohmann::json> by_event;
  for (const auto& line : lines) by_event[line["event"]] = line;
  EXPECT_EQ(by_event["breaker_transition"].dump(),
            nlohmann::json::parse(R"({"ts":"2026-11-20T13:31:31.123Z","level":"info",
                "event":"breaker_transition","breaker":"app/chat","failures":5,
                "open_for":5000.0})")
                .dump());
  EXPECT_EQ(by_event["config_rejected"]["level"], "warn");
  EXPECT_EQ(by_event["config_rejected"]["kept_last_good"], true);
  EXPECT_EQ(logs.dropped_lines(), 0u);
}

std::atomic<int64_t> test_clock_ms{0};

TEST(Logger, StampsEachSecondAnew) {
  Pipe out;
  LogService logs({.fd = out.writer(), .wall_clock_ms = [] { return test_clock_ms.load(); }});
  Logger& log = logs.NewLogger();
  for (int64_t now : {int64_t{0}, int64_t{7}, int64_t{1000}, int64_t{951782399999}}) {
    test_clock_ms = now;
    log.Info("tick");
  }
  ASSERT_TRUE(logs.Flush(kPatience));
  std::vector<std::string> stamps;
  for (const auto& line : ParseLines(out.ReadAvailable())) stamps.push_back(line["ts"]);
  EXPECT_EQ(stamps,
            (std::vector<std::string>{"1970-01-01T00:00:00.000Z", "1970-01-01T00:00:00.007Z",
                                      "1970-01-01T00:00:01.000Z", "2000-02-28T23:59:59.999Z"}));
}

TEST(Logger, WritesOnlyWhatTheLevelAllowsAndFollowsItsChange) {
  Pipe out;
  LogService logs({.fd = out.writer(), .level = Level::kWarn});
  Logger& log = logs.NewLogger();
  log.Info("no");
  EXPECT_FALSE(log.Debug("no").is_enabled());
  log.Warn("yes");
  log.Error("yes");
  logs.set_level(Level::kDebug);
  log.Debug("yes");
  logs.set_level(Level::kOff);
  log.Error("no");
  log.Log(Level::kOff, "no");
  ASSERT_TRUE(logs.Flush(kPatience));
  const auto lines = ParseLines(out.ReadAvailable());
  EXPECT_EQ(lines.size(), 3u);
  for (const auto& line : lines) EXPECT_EQ(line["event"], "yes");
}

TEST(Logger, AllowsALineWithinALine) {
  Pipe out;
  LogService logs({.fd = out.writer()});
  Logger& log = logs.NewLogger();
  {
    LogEvent outer = log.Info("outer");
    log.Info("inner").Int("n", 1);
    outer.Int("n", 2);
  }
  log.Info("after");
  ASSERT_TRUE(logs.Flush(kPatience));
  const auto lines = ParseLines(out.ReadAvailable());
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["event"], "inner");
  EXPECT_EQ(lines[1]["n"], 2);
  EXPECT_EQ(lines[2]["event"], "after");
}

TEST(Logger, WakesAWriterThatSleeps) {
  Pipe out;
  LogService logs({.fd = out.writer(), .flush_interval = absl::Milliseconds(1)});
  Logger& log = logs.NewLogger();
  // Each line is awaited before the next is made, so that the writer has every chance to sleep.
  for (int i = 0; i < 200; ++i) {
    log.Info("tick").Int("i", i);
    std::string line;
    for (char c = 0; c != '\n'; line += c) ASSERT_EQ(read(out.reader(), &c, 1), 1);
    EXPECT_EQ(nlohmann::json::parse(line)["i"], i);
  }
}

TEST(LogService, NeverBlocksALoggerWhenNobodyReads) {
  Pipe out;
  constexpr int kLines = 20000;
  uint64_t written = 0;
  uint64_t dropped = 0;
  MonoTime stop_began;
  {
    LogService logs({.fd = out.writer(), .shutdown_timeout = absl::Milliseconds(100)});
    Logger& log = logs.NewLogger();
    for (int i = 0; i < kLines; ++i) log.Info("line").Int("i", i).Str("pad", std::string(50, 'p'));
    EXPECT_FALSE(logs.Flush(absl::Milliseconds(1)));
    dropped = logs.dropped_lines();
    EXPECT_GT(dropped, 0u);
    stop_began = PreciseNow();
  }
  EXPECT_LT(PreciseNow() - stop_began, absl::Seconds(5)) << "shutdown hangs on a full pipe";
  // What did reach the pipe are whole lines in order, up to where it was full.
  const std::string text = out.ReadAvailable();
  const auto lines = ParseLines(text.substr(0, text.rfind('\n') + 1));
  for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i]["i"], i);
  written = lines.size();
  EXPECT_LE(written + dropped, static_cast<uint64_t>(kLines));
}

TEST(LogService, CountsEveryLineThatWasNotWritten) {
  constexpr int kLines = 20000;
  Pipe out;
  uint64_t dropped = 0;
  std::string text;
  std::thread reader;
  {
    LogService logs({.fd = out.writer(), .shutdown_timeout = kPatience});
    Logger& log = logs.NewLogger();
    for (int i = 0; i < kLines; ++i) log.Info("line").Int("i", i);
    // Only now does somebody read, after many lines had no room.
    reader = std::thread([&] { text = out.ReadUntilEnd(); });
    EXPECT_TRUE(logs.Flush(kPatience));
    dropped = logs.dropped_lines();
  }
  out.CloseWriter();
  reader.join();
  EXPECT_GT(dropped, 0u);
  EXPECT_EQ(ParseLines(text).size() + dropped, static_cast<size_t>(kLines));
}

TEST(LogService, SurvivesAReaderThatGoesAway) {
  Pipe out;
  LogService logs({.fd = out.writer()});
  Logger& log = logs.NewLogger();
  out.CloseReader();
  log.Info("lost");
  EXPECT_TRUE(logs.Flush(kPatience));
  EXPECT_EQ(logs.dropped_lines(), 1u);
}

TEST(LogService, WritesWhatIsLeftWhenItIsDestroyed) {
  Pipe out;
  {
    LogService logs({.fd = out.writer(), .flush_interval = absl::Hours(1)});
    Logger& log = logs.NewLogger();
    for (int i = 0; i < 10; ++i) log.Info("line");
  }
  EXPECT_EQ(ParseLines(out.ReadAvailable()).size(), 10u);
}

TEST(LogService, LeavesTheDescriptionOfStandardOutputBlocking) {
  Pipe out;
  LogService logs({.fd = out.writer()});
  logs.shared().Info("line");
  ASSERT_TRUE(logs.Flush(kPatience));
  EXPECT_EQ(fcntl(out.writer(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(LogService, WritesToFilesAndSockets) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  {
    LogService logs({.fd = fileno(file)});
    logs.shared().Info("line");
  }
  struct stat info {};
  ASSERT_EQ(fstat(fileno(file), &info), 0);
  EXPECT_GT(info.st_size, 0);
  std::fclose(file);

  int sockets[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
  {
    LogService logs({.fd = sockets[0]});
    logs.shared().Info("line");
  }
  char buffer[256];
  EXPECT_GT(recv(sockets[1], buffer, sizeof(buffer), MSG_DONTWAIT), 0);
  close(sockets[0]);
  close(sockets[1]);
}

TEST(LogService, KeepsEveryLineOfManyThreads) {
  constexpr int kThreads = 4;
  constexpr int kLines = 3000;
  Pipe out;
  std::string text;
  std::thread reader([&] { text = out.ReadUntilEnd(); });
  uint64_t dropped = 0;
  {
    LogService logs({.fd = out.writer(),
                     .ring_bytes = 1 << 20,
                     .shared_ring_bytes = 4 << 20,
                     .flush_interval = absl::Milliseconds(1),
                     .shutdown_timeout = kPatience});
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&logs, t] {
        Logger& own = logs.NewLogger();
        for (int i = 0; i < kLines; ++i) {
          own.Info("own").Int("t", t).Int("i", i);
          logs.shared().Info("shared").Int("t", t).Int("i", i);
        }
      });
    }
    for (int i = 0; i < 20; ++i) {
      logs.set_level(i % 2 == 0 ? Level::kDebug : Level::kInfo);
      logs.Flush(absl::Milliseconds(1));
    }
    for (std::thread& thread : threads) thread.join();
    ASSERT_TRUE(logs.Flush(kPatience));
    dropped = logs.dropped_lines();
  }
  out.CloseWriter();
  reader.join();
  EXPECT_EQ(dropped, 0u);
  std::map<std::string, std::vector<int>> next;
  next["own"].resize(kThreads);
  next["shared"].resize(kThreads);
  for (const auto& line : ParseLines(text)) {
    int& expected = next[line["event"]][line["t"].get<size_t>()];
    EXPECT_EQ(line["i"], expected);
    ++expected;
  }
  for (const auto& [event, counts] : next) {
    for (int count : counts) EXPECT_EQ(count, kLines) << event;
  }
}

TEST(Level, IsParsedFromItsName) {
  for (Level level : {Level::kDebug, Level::kInfo, Level::kWarn, Level::kError, Level::kOff}) {
    EXPECT_EQ(ParseLevel(LevelName(level)), level);
  }
  EXPECT_EQ(ParseLevel("INFO"), std::nullopt);
  EXPECT_EQ(ParseLevel(""), std::nullopt);
}

}  // namespace
}  // namespace outrigger::log
