#include "proxy/chain/http_date.h"

#include <ctime>

namespace outrigger::chain {

std::string_view HttpDateNow(const Loop& loop, Arena& arena) {
  // Formatted once a second for each worker.
  thread_local time_t cached_second = -1;
  thread_local char text[32];
  thread_local size_t size = 0;
  const time_t second = absl::ToTimeT(loop.WallNow());
  if (second != cached_second) {
    tm parts{};
    gmtime_r(&second, &parts);
    size = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    cached_second = second;
  }
  return arena.Copy({text, size});
}

}  // namespace outrigger::chain
