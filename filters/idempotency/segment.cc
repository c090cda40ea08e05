#include "filters/idempotency/segment.h"

#include <cstring>

namespace outrigger::idempotency {

RefPtr<Segment> Segment::Adopt(MemoryBudget& budget, size_t capacity, uint64_t start) {
  return RefPtr<Segment>::Adopt(new (Trailing{capacity}) Segment(budget, capacity, start));
}

void Segment::Write(std::string_view data) {
  if (data.empty()) return;
  std::memcpy(bytes() + written_, data.data(), data.size());
  written_ += static_cast<uint32_t>(data.size());
}

}  // namespace outrigger::idempotency
