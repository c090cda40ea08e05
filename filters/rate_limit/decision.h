// What a limit answers, the same for all algorithms.

#pragma once

#include <cstdint>

#include "absl/time/time.h"
#include "proxy/base/time.h"

namespace outrigger::rate_limit {

// What Refund() needs to take a charge back. Only for passing on: the meaning of `mark` belongs to
// the algorithm, the last three fields to the table. A receipt is good for one refund, which the
// holder has to see to.
struct Receipt {
  MonoTime at;
  int64_t mark = 0;
  int64_t cost = 0;
  uint64_t key = 0;
  uint32_t generation = 0;
  bool shared = false;
};

struct Decision {
  bool admitted = false;
  // Admitted, but to go on only after this long; above zero for the leaky bucket alone.
  absl::Duration delay;
  // Refused: how long until the same cost fits if nobody else is admitted meanwhile. Whoever waits
  // exactly this long is admitted. Infinite when the cost is above the burst and can never fit.
  absl::Duration wait;
  // Whole tokens that would be admitted now, after this decision.
  int64_t remaining = 0;
  // How long until the whole burst is available again.
  absl::Duration reset;
  // Of a table's bucket: LimiterTable::SetVerified() was called for it.
  bool is_verified = false;
  // Set when admitted.
  Receipt receipt;
};

}  // namespace outrigger::rate_limit
