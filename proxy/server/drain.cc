#include "proxy/server/drain.h"

#include <algorithm>
#include <utility>

namespace outrigger::server {
namespace {

// How often "is it over yet" is asked.
constexpr absl::Duration kPoll = absl::Milliseconds(50);
// The same while workers are being told to refuse, which takes them a turn of their loops.
constexpr absl::Duration kRefusePoll = absl::Milliseconds(5);
// For error events and last bytes to leave after the cut.
constexpr absl::Duration kCutGrace = absl::Milliseconds(500);

}  // namespace

Drain::Drain(Loop& loop, Times times, Steps steps)
    : Timer(loop), times_(times), steps_(std::move(steps)) {}

void Drain::Begin() {
  if (is_begun()) return;
  state_ = State::kLameDuck;
  const MonoTime now = loop().Now();
  refuse_at_ = now + std::min(times_.lame_duck, times_.timeout);
  cut_at_ = now + times_.timeout;
  steps_.on_lame_duck();
  Step();
}

void Drain::SetTimeout(absl::Duration timeout) {
  cut_at_ = std::min(cut_at_, loop().Now() + timeout);
  refuse_at_ = std::min(refuse_at_, cut_at_);
}

void Drain::EndNow() {
  if (!is_begun()) Begin();
  refuse_at_ = cut_at_ = loop().Now();
  if (!is_over()) Step();
}

void Drain::OnTimer() { Step(); }

void Drain::Step() {
  const MonoTime now = loop().Now();
  if (state_ == State::kLameDuck &&
      (now >= refuse_at_ || (steps_.is_app_gone() && steps_.is_idle()))) {
    state_ = State::kRefusing;
    steps_.on_refuse();
  }
  if (state_ == State::kRefusing && now >= cut_at_ && !IsDone()) {
    state_ = State::kCutting;
    give_up_at_ = now + kCutGrace;
    steps_.on_cut();
  }
  const bool is_waiting = state_ == State::kLameDuck ||
                          (!IsDone() && !(state_ == State::kCutting && now >= give_up_at_));
  if (is_waiting) {
    const bool are_being_told = state_ == State::kRefusing && !steps_.has_refused();
    Arm(now + (are_being_told ? kRefusePoll : kPoll));
    return;
  }
  Disarm();  // when EndNow() came before the timer
  state_ = State::kOver;
  steps_.on_over();
}

}  // namespace outrigger::server
