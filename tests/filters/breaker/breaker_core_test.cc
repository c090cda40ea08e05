#include "filters/breaker/breaker_core.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "gtest/gtest.h"

namespace outrigger::breaker {
namespace {

MonoTime At(double seconds) {
  return MonoTime::FromNanos(1'000'000'000'000 + static_cast<int64_t>(seconds * 1e9));
}

class BreakerCoreTest : public ::testing::Test {
 protected:
  // One request that takes no time. False when it was refused.
  bool Ask(BreakerCore& core, MonoTime now, Outcome outcome, bool slow = false) {
    const Admission admission = core.TryAcquire(now);
    if (admission.transition.has_value()) last_ = *admission.transition;
    if (!admission.admitted) return false;
    const auto transition = core.Record(admission.ticket, outcome, slow, now);
    if (transition.has_value()) last_ = *transition;
    return true;
  }

  // Opens it by failures at `now`; returns when it may be probed.
  MonoTime Open(BreakerCore& core, MonoTime now) {
    while (Ask(core, now, Outcome::kFailure)) continue;
    return now + core.TakeSnapshot(now).until_probe;
  }

  MonoTime CloseAfterProbes(BreakerCore& core, MonoTime now) {
    for (int i = 0; i < Policy().successes_to_close; ++i) {
      EXPECT_TRUE(Ask(core, now, Outcome::kSuccess));
    }
    EXPECT_EQ(core.TakeSnapshot(now).state, State::kClosed);
    return now;
  }

  Transition last_;
};

TEST_F(BreakerCoreTest, OpensAtTheFifthFailureInARow) {
  BreakerCore core(Policy(), 1, At(0));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Ask(core, At(i), Outcome::kFailure));
  ASSERT_TRUE(Ask(core, At(4), Outcome::kSuccess));
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(Ask(core, At(20 + i), Outcome::kFailure));
  EXPECT_EQ(core.TakeSnapshot(At(24)).state, State::kClosed);
  ASSERT_TRUE(Ask(core, At(24), Outcome::kFailure));
  EXPECT_EQ(last_.cause, Cause::kConsecutiveFailures);
  EXPECT_EQ(last_.consecutive, 5);
  EXPECT_FALSE(Ask(core, At(24), Outcome::kSuccess));
}

TEST_F(BreakerCoreTest, OpensAtHalfFailuresOfTenSamples) {
  BreakerCore core(Policy(), 1, At(0));
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(Ask(core, At(0.1 * i), i % 2 == 0 ? Outcome::kFailure : Outcome::kSuccess)) << i;
  }
  EXPECT_EQ(core.TakeSnapshot(At(1)).state, State::kClosed);
  ASSERT_TRUE(Ask(core, At(1), Outcome::kSuccess));
  EXPECT_EQ(core.TakeSnapshot(At(1)).state, State::kOpen);
  EXPECT_EQ(last_.cause, Cause::kFailureRatio);
  EXPECT_EQ(last_.counts.samples, 10);
  EXPECT_EQ(last_.counts.failures, 5);
}

TEST_F(BreakerCoreTest, ForgetsWhatIsOlderThanTheWindow) {
  BreakerCore core(Policy(), 1, At(0));
  for (int i = 0; i < 9; ++i) {
    Ask(core, At(0), i % 2 == 0 ? Outcome::kFailure : Outcome::kSuccess);
  }
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(Ask(core, At(12), i % 2 == 0 ? Outcome::kFailure : Outcome::kSuccess));
  }
  EXPECT_EQ(core.TakeSnapshot(At(12)).state, State::kClosed);
}

TEST_F(BreakerCoreTest, OpensWhenMostAnswersAreSlow) {
  BreakerCore core(Policy(), 1, At(0));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Ask(core, At(0), Outcome::kSuccess, i >= 2));
  EXPECT_EQ(last_.cause, Cause::kSlowRatio);
  EXPECT_EQ(core.TakeSnapshot(At(0)).state, State::kOpen);
}

TEST_F(BreakerCoreTest, SeesAHungServiceWhoseClientsLeave) {
  BreakerCore core(Policy(), 1, At(0));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Ask(core, At(0), Outcome::kIgnore, false));
  EXPECT_EQ(core.TakeSnapshot(At(0)).counts, Counts{});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(Ask(core, At(1), Outcome::kIgnore, true));
  EXPECT_EQ(last_.cause, Cause::kSlowRatio);
  EXPECT_EQ(last_.counts.failures, 0);
}

TEST_F(BreakerCoreTest, NeverOpensOnThrottlingAlone) {
  BreakerCore core(Policy(), 1, At(0));
  for (int i = 0; i < 10'000; ++i) {
    ASSERT_TRUE(Ask(core, At(0.01 * i), Outcome::kThrottled, i % 2 == 0));
  }
  EXPECT_EQ(core.TakeSnapshot(At(100)).counts, Counts{});
}

// Goal (3): the worst patterns of two failures in five, with at least 100 samples in the window.
TEST_F(BreakerCoreTest, NeverOpensOnTwoFailuresInFive) {
  for (const std::string_view pattern :
       {"ffsss", "fsfss", "fssfs", "fsssf", "sffss", "sfsfs", "sfssf", "ssffs", "ssfsf", "sssff"}) {
    SCOPED_TRACE(pattern);
    for (const double spacing : {0.1, 0.05, 0.013, 0.001}) {
      BreakerCore core(Policy(), 1, At(0));
      double time = 0;
      // The window fills first; the claim is about windows with a hundred samples.
      for (int i = 0; i < 100; ++i) ASSERT_TRUE(Ask(core, At(time), Outcome::kSuccess));
      for (int i = 0; i < 5000; ++i, time += spacing) {
        const bool fails = pattern[static_cast<size_t>(i) % 5] == 'f';
        ASSERT_TRUE(Ask(core, At(time), fails ? Outcome::kFailure : Outcome::kSuccess)) << i;
      }
      EXPECT_EQ(core.TakeSnapshot(At(time)).transitions, (std::array<uint64_t, kCauses>{}));
    }
  }
}

// Goal (1).
TEST_F(BreakerCoreTest, AgainstADeadServiceOpensSoonAndThenLetsOneProbeThroughEachTime) {
  BreakerCore core(Policy(), 1, At(0));
  int before_open = 0;
  double opened_after = -1;
  int reached_while_open = 0;
  int probe_intervals = 0;
  for (int i = 0; i < 50 * 300; ++i) {  // 50 requests a second for five minutes
    const double time = 0.02 * i;
    const uint64_t openings =
        core.TakeSnapshot(At(time)).transitions[static_cast<size_t>(Cause::kProbeFailed)];
    const bool reached = Ask(core, At(time), Outcome::kFailure);
    if (opened_after < 0) {
      before_open += reached ? 1 : 0;
      if (core.TakeSnapshot(At(time)).state == State::kOpen) opened_after = time;
      continue;
    }
    reached_while_open += reached ? 1 : 0;
    const Snapshot snapshot = core.TakeSnapshot(At(time));
    probe_intervals +=
        static_cast<int>(snapshot.transitions[static_cast<size_t>(Cause::kProbeFailed)] - openings);
  }
  EXPECT_LE(before_open, 10);
  EXPECT_LE(opened_after, 0.2);
  EXPECT_GT(probe_intervals, 4);
  EXPECT_EQ(reached_while_open, probe_intervals);
}

// Goal (2).
TEST_F(BreakerCoreTest, ClosesAfterTheOpenTimeAndThreeProbes) {
  Policy policy;
  policy.open_for = absl::Seconds(1);
  constexpr absl::Duration kRoundTrip = absl::Milliseconds(100);
  for (uint64_t seed = 0; seed < 1000; ++seed) {
    SCOPED_TRACE(seed);
    BreakerCore core(policy, seed, At(0));
    Open(core, At(0));
    const absl::Duration open_for = last_.open_for;
    MonoTime now = At(0);  // heals now
    while (core.TakeSnapshot(now).state != State::kClosed) {
      const Admission probe = core.TryAcquire(now);
      now = now + (probe.admitted ? kRoundTrip : probe.retry_after);
      if (probe.admitted) core.Record(probe.ticket, Outcome::kSuccess, false, now);
    }
    ASSERT_LE(now - At(0), open_for + 3 * kRoundTrip);
    ASSERT_LE(now - At(0), absl::Milliseconds(2100));
  }
}

TEST_F(BreakerCoreTest, DoublesTheOpenTimeUpToTheCapWithJitter) {
  const double kNominal[] = {5, 10, 20, 40, 60, 60, 60};
  double least = 2;
  double most = 0;
  for (uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    BreakerCore core(Policy(), seed, At(0));
    MonoTime now = Open(core, At(0));
    for (const double nominal : kNominal) {
      const double share = absl::ToDoubleSeconds(last_.open_for) / nominal;
      EXPECT_GE(share, 0.8);
      EXPECT_LE(share, nominal == 60 ? 1.0 : 1.2);
      least = std::min(least, share);
      most = std::max(most, share);
      EXPECT_FALSE(Ask(core, now.PlusNanos(-1), Outcome::kSuccess));
      ASSERT_TRUE(Ask(core, now, Outcome::kFailure));
      EXPECT_EQ(last_.cause, Cause::kProbeFailed);
      now = now + last_.open_for;
    }
  }
  EXPECT_LT(least, 0.81);
  EXPECT_GT(most, 1.19);
}

TEST_F(BreakerCoreTest, ForgetsTheDoublingsAfterAMinuteClosed) {
  for (const double closed_for : {59.0, 60.0}) {
    SCOPED_TRACE(closed_for);
    BreakerCore core(Policy(), 1, At(0));
    MonoTime now = Open(core, At(0));
    for (int i = 0; i < 3; ++i) {
      ASSERT_TRUE(Ask(core, now, Outcome::kFailure));
      now = now + last_.open_for;
    }
    now = CloseAfterProbes(core, now) + absl::Seconds(closed_for);
    Open(core, now);
    const double seconds = absl::ToDoubleSeconds(last_.open_for);
    if (closed_for < 60) {
      EXPECT_GE(seconds, 0.8 * 40);
    } else {
      EXPECT_LE(seconds, 1.2 * 5);
    }
  }
}

TEST_F(BreakerCoreTest, LetsOneProbeThroughAtATime) {
  BreakerCore core(Policy(), 1, At(0));
  const MonoTime now = Open(core, At(0));
  const Admission probe = core.TryAcquire(now);
  ASSERT_TRUE(probe.admitted);
  EXPECT_TRUE(probe.ticket.is_probe);
  const Admission second = core.TryAcquire(now);
  EXPECT_FALSE(second.admitted);
  EXPECT_GT(second.retry_after, absl::ZeroDuration());
  core.Record(probe.ticket, Outcome::kSuccess, false, now);
  EXPECT_TRUE(core.TryAcquire(now).admitted);
}

TEST_F(BreakerCoreTest, AUserRequestAsProbeHasAllTheTimeOfItsRoute) {
  BreakerCore core(Policy(), 1, At(0));
  const MonoTime now = Open(core, At(0));
  const Admission probe = core.TryAcquire(now);
  EXPECT_FALSE(core.TryAcquire(now + absl::Hours(1)).admitted);
  EXPECT_EQ(core.TakeSnapshot(now + absl::Hours(1)).state, State::kHalfOpen);
  core.Record(probe.ticket, Outcome::kSuccess, false, now + absl::Hours(1));
  EXPECT_EQ(core.TakeSnapshot(now + absl::Hours(1)).probe_successes, 1);
}

TEST_F(BreakerCoreTest, AProbeWithoutVerdictFreesItsPlace) {
  for (const Outcome outcome : {Outcome::kIgnore, Outcome::kThrottled}) {
    BreakerCore core(Policy(), 1, At(0));
    const MonoTime now = Open(core, At(0));
    ASSERT_TRUE(Ask(core, now, outcome));
    EXPECT_EQ(core.TakeSnapshot(now).state, State::kHalfOpen);
    EXPECT_EQ(core.TakeSnapshot(now).probe_successes, 0);
    const Admission abandoned = core.TryAcquire(now);
    ASSERT_TRUE(abandoned.admitted);
    core.Abandon(abandoned.ticket);
    EXPECT_TRUE(core.TryAcquire(now).admitted);
  }
}

TEST_F(BreakerCoreTest, ASlowProbeHasFailed) {
  BreakerCore core(Policy(), 1, At(0));
  MonoTime now = Open(core, At(0));
  ASSERT_TRUE(Ask(core, now, Outcome::kSuccess, true));
  EXPECT_EQ(last_.cause, Cause::kProbeFailed);
}

TEST_F(BreakerCoreTest, WithAProbePathUserRequestsAreNotProbes) {
  Policy policy;
  policy.probe.path = "/health";
  BreakerCore core(policy, 1, At(0));
  EXPECT_FALSE(core.TryAcquireProbe(At(0)).admitted);  // closed: nothing to find out
  const MonoTime now = Open(core, At(0));
  EXPECT_FALSE(core.TryAcquire(now).admitted);
  for (int i = 0; i < 3; ++i) {
    const Admission probe = core.TryAcquireProbe(now);
    ASSERT_TRUE(probe.admitted);
    EXPECT_FALSE(core.TryAcquireProbe(now).admitted);
    EXPECT_FALSE(core.TryAcquire(now).admitted);
    core.Record(probe.ticket, Outcome::kSuccess, false, now);
  }
  EXPECT_TRUE(core.TryAcquire(now).admitted);
}

TEST_F(BreakerCoreTest, APathProbeThatOutlivesItsTimeHasFailed) {
  Policy policy;
  policy.probe.path = "/health";
  BreakerCore core(policy, 1, At(0));
  const MonoTime now = Open(core, At(0));
  const Admission probe = core.TryAcquireProbe(now);
  ASSERT_TRUE(probe.admitted);
  const MonoTime overdue = now + policy.probe.timeout;
  EXPECT_FALSE(core.TryAcquireProbe(overdue.PlusNanos(-1)).transition.has_value());
  const Admission next = core.TryAcquireProbe(overdue);
  EXPECT_FALSE(next.admitted);
  ASSERT_TRUE(next.transition.has_value());
  EXPECT_EQ(next.transition->cause, Cause::kProbeTimedOut);
  EXPECT_GE(next.transition->open_for, absl::Seconds(8));  // twice five, less a fifth
  // Its own late verdict changes nothing.
  EXPECT_FALSE(core.Record(probe.ticket, Outcome::kSuccess, false, overdue).has_value());
  EXPECT_EQ(core.TakeSnapshot(overdue).state, State::kOpen);
}

TEST_F(BreakerCoreTest, VerdictsOfAnEarlierEpochChangeNothing) {
  BreakerCore core(Policy(), 1, At(0));
  const Ticket early = core.TryAcquire(At(0)).ticket;
  const MonoTime now = Open(core, At(0));
  EXPECT_FALSE(core.Record(early, Outcome::kSuccess, false, At(0)).has_value());
  const Admission probe = core.TryAcquire(now);
  ASSERT_TRUE(probe.admitted);
  for (const Outcome outcome : {Outcome::kSuccess, Outcome::kFailure, Outcome::kIgnore}) {
    EXPECT_FALSE(core.Record(early, outcome, true, now).has_value());
  }
  core.Abandon(early);
  EXPECT_FALSE(core.TryAcquire(now).admitted) << "the probe's place is still taken";
  core.Record(probe.ticket, Outcome::kSuccess, false, now);
  ASSERT_TRUE(Ask(core, now, Outcome::kSuccess));
  ASSERT_TRUE(Ask(core, now, Outcome::kSuccess));
  ASSERT_EQ(core.TakeSnapshot(now).state, State::kClosed);
  for (int i = 0; i < 20; ++i) core.Record(early, Outcome::kFailure, true, now);
  for (int i = 0; i < 20; ++i) core.AddLateFailure(early, now);
  EXPECT_EQ(core.TakeSnapshot(now).counts, Counts{});
}

TEST_F(BreakerCoreTest, AStreamCutLaterIsOneFailureMore) {
  BreakerCore core(Policy(), 1, At(0));
  Ticket tickets[5];
  for (Ticket& ticket : tickets) {
    ticket = core.TryAcquire(At(0)).ticket;
    core.Record(ticket, Outcome::kSuccess, false, At(0));
  }
  for (int i = 0; i < 4; ++i) EXPECT_FALSE(core.AddLateFailure(tickets[i], At(60)).has_value());
  EXPECT_EQ(core.TakeSnapshot(At(60)).counts.failures, 4);
  const auto transition = core.AddLateFailure(tickets[4], At(60));
  ASSERT_TRUE(transition.has_value());
  EXPECT_EQ(transition->cause, Cause::kConsecutiveFailures);
}

TEST_F(BreakerCoreTest, TheCutOfAProbesStreamCountsAfterClosing) {
  BreakerCore core(Policy(), 1, At(0));
  const MonoTime now = Open(core, At(0));
  const Admission probe = core.TryAcquire(now);
  core.Record(probe.ticket, Outcome::kSuccess, false, now);
  core.AddLateFailure(probe.ticket, now);
  EXPECT_EQ(core.TakeSnapshot(now).state, State::kHalfOpen) << "judged at its head";
  const Admission second = core.TryAcquire(now);
  core.Record(second.ticket, Outcome::kSuccess, false, now);
  ASSERT_TRUE(Ask(core, now, Outcome::kSuccess));
  ASSERT_EQ(core.TakeSnapshot(now).state, State::kClosed);
  core.AddLateFailure(second.ticket, now);
  EXPECT_EQ(core.TakeSnapshot(now).counts.failures, 2);
}

TEST_F(BreakerCoreTest, RetryAfterIsTheTimeToTheProbe) {
  BreakerCore core(Policy(), 1, At(0));
  const MonoTime probe_at = Open(core, At(0));
  const Admission refused = core.TryAcquire(At(1));
  ASSERT_FALSE(refused.admitted);
  EXPECT_EQ(At(1) + refused.retry_after, probe_at);
  EXPECT_TRUE(core.TryAcquire(At(1) + refused.retry_after).admitted);
}

TEST_F(BreakerCoreTest, CanBeForcedAndGivenBack) {
  BreakerCore core(Policy(), 1, At(0));
  const auto opened = core.SetOverride(Override::kForcedOpen, At(0));
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ(opened->cause, Cause::kManual);
  EXPECT_FALSE(core.TryAcquire(At(10'000)).admitted);
  EXPECT_GT(core.TryAcquire(At(10'000)).retry_after, absl::ZeroDuration());
  EXPECT_FALSE(core.SetOverride(Override::kAuto, At(10'000)).has_value());
  const Admission probe = core.TryAcquire(At(10'000));
  ASSERT_TRUE(probe.admitted);
  EXPECT_TRUE(probe.ticket.is_probe);

  ASSERT_TRUE(core.SetOverride(Override::kForcedClosed, At(10'000)).has_value());
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(Ask(core, At(10'000), Outcome::kFailure));
  EXPECT_EQ(core.TakeSnapshot(At(10'000)).counts.failures, 100);
  core.SetOverride(Override::kAuto, At(10'000));
  ASSERT_TRUE(Ask(core, At(10'000), Outcome::kFailure));
  EXPECT_EQ(core.TakeSnapshot(At(10'000)).state, State::kOpen);
}

TEST_F(BreakerCoreTest, AReloadKeepsTheStateAndTheCounts) {
  BreakerCore core(Policy(), 1, At(0));
  for (int i = 0; i < 4; ++i) Ask(core, At(0), Outcome::kFailure);
  Policy policy;
  policy.consecutive = 6;
  core.SetPolicy(policy, At(0));
  ASSERT_TRUE(Ask(core, At(0), Outcome::kFailure));
  EXPECT_EQ(core.TakeSnapshot(At(0)).state, State::kClosed);
  ASSERT_TRUE(Ask(core, At(0), Outcome::kFailure));
  EXPECT_EQ(core.TakeSnapshot(At(0)).state, State::kOpen);
  core.SetPolicy(Policy(), At(0));
  EXPECT_FALSE(core.TryAcquire(At(0)).admitted);
}

TEST_F(BreakerCoreTest, CountsATimeThatRunsBackAsTheLatestSeen) {
  BreakerCore core(Policy(), 1, At(100));
  for (int i = 0; i < 5; ++i) Ask(core, At(100 - 0.001 * i), Outcome::kFailure);
  ASSERT_EQ(core.TakeSnapshot(At(99)).state, State::kOpen);
  EXPECT_LE(core.TryAcquire(At(90)).retry_after, absl::Seconds(6));
}

}  // namespace
}  // namespace outrigger::breaker
