#include "filters/rate_limit/sliding_window.h"

#include <algorithm>

namespace outrigger::rate_limit {
namespace {

__extension__ using Wide = __int128;

}  // namespace

void SlidingWindow::Advance(State& state, MonoTime now) const {
  const MonoTime end = state.start.PlusNanos(width_);
  if (now < end) return;
  const MonoTime next_end = end.PlusNanos(width_);
  if (now < next_end) {
    state = {end, state.current, 0};
  } else {
    // Both windows are over. Beginning the next one here rather than on the old grid spares whoever
    // comes after a pause a window that ends at once.
    state = Fresh(now);
  }
}

int64_t SlidingWindow::FitsFrom(int64_t previous, int64_t current, int64_t cost) const {
  const int64_t room = burst_ - current - cost;
  if (room < 0) return width_;
  if (previous <= room) return 0;
  // previous·(width - x) <= room·width
  const Wide covered = static_cast<Wide>(room) * width_ / previous;
  return width_ - static_cast<int64_t>(covered);
}

Decision SlidingWindow::Acquire(State& state, int64_t cost, MonoTime now) const {
  Advance(state, now);
  const int64_t into = std::max<int64_t>(0, now.nanos() - state.start.nanos());
  Decision decision;
  if (cost > burst_) {
    decision.wait = absl::InfiniteDuration();
  } else if (const int64_t from = FitsFrom(state.previous, state.current, cost); from <= into) {
    decision.admitted = true;
    state.current += cost;
    decision.receipt = {.at = state.start, .cost = cost};
  } else if (from < width_) {
    decision.wait = state.start.PlusNanos(from) - now;
  } else {
    const MonoTime next = state.start.PlusNanos(width_);
    decision.wait = next.PlusNanos(FitsFrom(state.current, 0, cost)) - now;
  }
  const Wide covered = static_cast<Wide>(state.previous) * (width_ - into);
  const auto held = static_cast<int64_t>((covered + width_ - 1) / width_);
  decision.remaining = std::max<int64_t>(0, burst_ - state.current - held);
  decision.reset = std::max(IdleAt(state) - now, absl::ZeroDuration());
  return decision;
}

void SlidingWindow::Refund(State& state, const Receipt& receipt, MonoTime now) const {
  Advance(state, now);
  if (receipt.at == state.start) {
    state.current -= std::min(state.current, receipt.cost);
  } else if (receipt.at.PlusNanos(width_) == state.start) {
    state.previous -= std::min(state.previous, receipt.cost);
  }
}

MonoTime SlidingWindow::IdleAt(const State& state) const {
  if (state.current > 0) return state.start.PlusNanos(width_).PlusNanos(width_);
  if (state.previous > 0) return state.start.PlusNanos(width_);
  return state.start;
}

void SlidingWindow::Adopt(State& state, const SlidingWindow& before, MonoTime now) const {
  before.Advance(state, now);
  // The old window's part that still counts is weighed from its new beginning; the current count
  // starts over as a window at `now`, which holds it for at least as long as before.
  if (width_ != before.width_) state = {now, state.previous, state.current};
}

}  // namespace outrigger::rate_limit
