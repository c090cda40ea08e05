#include "proxy/chain/http_date.h"

#include <ctime>

namespace outrigger::chain {

std::string_view HttpDateNow(const Loop& loop, Arena& arena) {
  // Formatted once a second for each worker, and the date asked for ten times a second: the loop's
  // own time is at hand, the date is not.
  constexpr absl::Duration kAskEvery = absl::Milliseconds(100);
  thread_local MonoTime ask_again;
  thread_local time_t cached_second = -1;
  thread_local char text[32];
  thread_local size_t size = 0;
  const MonoTime now = loop.Now();
  if (now >= ask_again) {
    ask_again = now + kAskEvery;
    const time_t second = absl::ToTimeT(loop.WallNow());
    if (second != cached_second) {
      tm parts{};
      gmtime_r(&second, &parts);
      size = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
      cached_second = second;
    }
  }
  return arena.Copy({text, size});
}

}  // namespace outrigger::chain
