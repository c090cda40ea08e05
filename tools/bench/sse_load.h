// Many event streams at once: CPU per event, the delay of each event, and whether any was lost.
//
//   SseLoadResult result = RunSseLoad(options, account);
//
// The measured window opens when every stream has had its first event and closes when the first
// stream has had its last one, so neither the opening nor the ending of
// streams is in it. Afterwards all streams are read to their end, to count losses.

#pragma once

#include <cstdint>
#include <string>

#include "tools/bench/cpu_account.h"
#include "tools/bench/histogram.h"
#include "tools/bench/net.h"
#include "tools/bench/request.h"

namespace outrigger::bench {

struct SseLoadOptions {
  sockaddr_in target{};
  RequestOptions request;  // its path asks for the stream
  uint64_t streams = 200;
  uint64_t events = 100;                 // of each stream
  int64_t patience_ns = 10'000'000'000;  // without any event for so long: give up
};

struct SseLoadResult {
  uint64_t events = 0;  // in the window
  int64_t cpu_ns = 0;   // in the window
  int64_t window_ns = 0;
  uint64_t total_events = 0;  // of all streams, from start to end
  uint64_t lost = 0;          // expected and never seen, or seen out of order
  uint64_t errors = 0;        // streams that did not end as they should
  uint64_t non_2xx = 0;
  Histogram delay;  // ns, in the window
};

SseLoadResult RunSseLoad(const SseLoadOptions& options, const CpuAccount& account);

}  // namespace outrigger::bench
