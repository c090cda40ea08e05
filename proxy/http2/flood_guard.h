// Tells a client that floods a connection from one that uses it (semantics PR-2).
//
//   FloodGuard guard(now);
//   if (!guard.TakeReset(now)) -> GOAWAY(ENHANCE_YOUR_CALM)
//
// Two buckets that refill with time: streams that were reset, each of which made us work for an
// answer that nobody wants (CVE-2023-44487, and CVE-2025-8671 where the client makes us reset), and
// frames that ask for work and carry nothing: PING, SETTINGS, PRIORITY, empty DATA, tiny
// WINDOW_UPDATE. Answers give some of the latter back: gRPC's clients measure the path by a PING
// and open windows by small steps for each message that they get, as fast as they get them.
// Pure: no clock. One worker.

#pragma once

#include <algorithm>

#include "proxy/base/time.h"

namespace outrigger::http2 {

class FloodGuard {
 public:
  static constexpr double kResetsPerSecond = 100;
  static constexpr double kResetBurst = 100;
  static constexpr double kFramesPerSecond = 100;
  static constexpr double kFrameBurst = 1000;
  // A PING, and a WINDOW_UPDATE each for the stream and the connection, with one to spare.
  static constexpr double kFramesPerAnswer = 4;

  explicit FloodGuard(MonoTime now) : last_(now) {}

  // False: too many.
  bool TakeReset(MonoTime now) {
    Refill(now);
    return (resets_ -= 1) >= 0;
  }
  bool TakeFrame(MonoTime now) {
    Refill(now);
    return (frames_ -= 1) >= 0;
  }
  // HEADERS or DATA were sent.
  void NoteAnswer() { frames_ = std::min(kFrameBurst, frames_ + kFramesPerAnswer); }

 private:
  void Refill(MonoTime now);

  MonoTime last_;
  double resets_ = kResetBurst;
  double frames_ = kFrameBurst;
};

}  // namespace outrigger::http2
