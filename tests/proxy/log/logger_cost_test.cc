// What a line costs whoever logs it. Allocations are asserted, times only printed.

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <new>

#include "proxy/base/time.h"
#include "proxy/log/logger.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OUTRIGGER_HAS_OTHER_ALLOCATOR
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OUTRIGGER_HAS_OTHER_ALLOCATOR
#endif

namespace {
thread_local uint64_t allocations_of_this_thread = 0;
}  // namespace

// Sanitizers bring their own operators, which count nothing for us.
#ifndef OUTRIGGER_HAS_OTHER_ALLOCATOR
void* operator new(size_t size) {
  ++allocations_of_this_thread;
  if (void* block = std::malloc(size)) return block;
  std::abort();
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, size_t) noexcept { std::free(block); }
#endif

namespace outrigger::log {
namespace {

void LogRequest(Logger& log, int i) {
  log.Info("request")
      .Str("method", "POST")
      .Str("path", "/v1/chat/completions")
      .Int("status", 200)
      .Str("route", "chat")
      .Str("trace_id", "4bf92f3577b34da6a3ce929d0e0e4736")
      .Str("tenant", "ba7816bf8f01cfea")
      .Int("attempts", 1)
      .Millis("total_ms", absl::Microseconds(i))
      .Millis("ttft_ms", absl::Microseconds(i));
}

void PrintCost(const char* what, LogService& logs, Logger& log) {
  constexpr int kTimes = 5000;
  const uint64_t allocations = allocations_of_this_thread;
  const MonoTime start = PreciseNow();
  for (int i = 0; i < kTimes; ++i) LogRequest(log, i);
  const auto nanos = static_cast<double>(PreciseNow().nanos() - start.nanos());
  std::printf("  %-28s %7.1f ns, %llu lines dropped\n", what, nanos / kTimes,
              static_cast<unsigned long long>(logs.dropped_lines()));
  EXPECT_EQ(allocations_of_this_thread, allocations);
}

TEST(LoggerCost, IsPrintedAndIncludesNoAllocation) {
  const int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
  ASSERT_GE(null_fd, 0);
  {
    LogService logs({.fd = null_fd});
    Logger& log = logs.NewLogger();
    const uint64_t before_first = allocations_of_this_thread;
    ::operator delete(::operator new(1));
#ifndef OUTRIGGER_HAS_OTHER_ALLOCATOR
    ASSERT_EQ(allocations_of_this_thread, before_first + 1) << "allocations are not counted";
#else
    ASSERT_EQ(allocations_of_this_thread, before_first);
#endif
    LogRequest(log, 0);
    PrintCost("line to /dev/null", logs, log);
    logs.set_level(Level::kError);
    PrintCost("line whose level is off", logs, log);
  }
  close(null_fd);
}

}  // namespace
}  // namespace outrigger::log
