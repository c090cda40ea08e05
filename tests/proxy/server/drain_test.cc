#include "proxy/server/drain.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/support/fake_loop.h"

namespace outrigger::server {
namespace {

class DrainTest : public testing::Test {
 protected:
  static constexpr absl::Duration kLameDuck = absl::Seconds(5);
  static constexpr absl::Duration kTimeout = absl::Seconds(25);
  // What the steps may be late, because they look around only now and then.
  static constexpr absl::Duration kPoll = absl::Milliseconds(50);

  void Note(const std::string& step) { steps_.push_back(step); }

  Drain Make(Drain::Times times = {.lame_duck = kLameDuck, .timeout = kTimeout}) {
    return Drain(loop_, times,
                 {.on_lame_duck = [this] { Note("lame duck"); },
                  .on_refuse = [this] { Note("refuse"); },
                  .on_cut =
                      [this] {
                        Note("cut");
                        if (ends_when_cut_) is_idle_ = true;
                      },
                  .on_over = [this] { Note("over"); },
                  .has_refused = [this] { return has_refused_; },
                  .is_idle = [this] { return is_idle_; },
                  .is_app_gone = [this] { return is_app_gone_; }});
  }
  using Steps = std::vector<std::string>;

  FakeLoop loop_;
  Steps steps_;
  bool has_refused_ = true;
  bool is_idle_ = false;
  bool is_app_gone_ = false;
  bool ends_when_cut_ = true;
};

TEST_F(DrainTest, GoesThroughItsStepsInOrder) {
  Drain drain = Make();
  EXPECT_FALSE(drain.is_begun());
  drain.Begin();
  EXPECT_TRUE(drain.is_begun());
  EXPECT_EQ(steps_, Steps{"lame duck"});
  loop_.Advance(kLameDuck - absl::Nanoseconds(1));
  EXPECT_EQ(steps_, Steps{"lame duck"});
  loop_.Advance(kPoll);
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse"}));
  loop_.Advance(kTimeout - kLameDuck - 2 * kPoll);
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse"}));
  loop_.Advance(2 * kPoll);
  loop_.Advance(kPoll);
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "cut", "over"}));
  EXPECT_TRUE(drain.is_over());
  EXPECT_EQ(loop_.armed_timers(), 0u);
  drain.Begin();
  EXPECT_EQ(steps_.size(), 4u);
}

TEST_F(DrainTest, StaysALameDuckAlthoughNothingRuns) {
  is_idle_ = true;
  Drain drain = Make();
  drain.Begin();
  loop_.Advance(kLameDuck - kPoll);
  EXPECT_EQ(steps_, Steps{"lame duck"});
  loop_.Advance(2 * kPoll);
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "over"}));
}

TEST_F(DrainTest, IsNotOverBeforeAllWorkersRefuse) {
  is_idle_ = true;
  has_refused_ = false;
  Drain drain = Make();
  drain.Begin();
  loop_.Advance(kLameDuck + kPoll);
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse"}));
  // A request that came before the last of them was told.
  is_idle_ = false;
  has_refused_ = true;
  loop_.Advance(absl::Seconds(1));
  EXPECT_FALSE(drain.is_over());
  is_idle_ = true;
  loop_.Advance(kPoll);
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "over"}));
}

TEST_F(DrainTest, DoesNotWaitForeverForAWorkerThatHangs) {
  is_idle_ = true;
  has_refused_ = false;
  Drain drain = Make();
  drain.Begin();
  loop_.Advance(kTimeout + absl::Seconds(1));
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "cut", "over"}));
}

TEST_F(DrainTest, IsOverAsSoonAsNothingRunsAfterTheLameDuck) {
  Drain drain = Make();
  drain.Begin();
  loop_.Advance(kLameDuck + absl::Seconds(3));
  EXPECT_FALSE(drain.is_over());
  is_idle_ = true;
  loop_.Advance(kPoll);
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "over"}));
}

// K8-3: the Job's main container has ended.
TEST_F(DrainTest, IsOverAtOnceWhenTheAppHasGoneAndNothingRuns) {
  is_idle_ = is_app_gone_ = true;
  Drain drain = Make();
  drain.Begin();
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "over"}));
  EXPECT_EQ(loop_.armed_timers(), 0u);
}

TEST_F(DrainTest, WaitsForWhatRunsAlthoughTheAppHasGone) {
  is_app_gone_ = true;
  Drain drain = Make();
  drain.Begin();
  loop_.Advance(absl::Seconds(2));
  EXPECT_EQ(steps_, Steps{"lame duck"});
  is_idle_ = true;
  loop_.Advance(kPoll);
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "over"}));
}

TEST_F(DrainTest, GivesUpOnWhatDoesNotEndWhenItIsCut) {
  ends_when_cut_ = false;
  Drain drain = Make();
  drain.Begin();
  loop_.Advance(kTimeout + kPoll);
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "cut"}));
  loop_.Advance(absl::Seconds(1));
  EXPECT_TRUE(drain.is_over());
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "cut", "over"}));
}

TEST_F(DrainTest, TheTimeoutIncludesTheLameDuck) {
  Drain drain = Make({.lame_duck = kLameDuck, .timeout = absl::Seconds(1)});
  drain.Begin();
  loop_.Advance(absl::Seconds(1) + 2 * kPoll);
  EXPECT_TRUE(drain.is_over());
}

TEST_F(DrainTest, CanBeShortenedButNotProlonged) {
  Drain drain = Make();
  drain.Begin();
  drain.SetTimeout(absl::Hours(1));
  loop_.Advance(absl::Seconds(2));
  drain.SetTimeout(absl::Seconds(1));
  loop_.Advance(absl::Seconds(1) - absl::Nanoseconds(1));
  EXPECT_EQ(steps_, Steps{"lame duck"});
  loop_.Advance(2 * kPoll);
  EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "cut", "over"}));
}

TEST_F(DrainTest, EndsNowWhenAsked) {
  for (absl::Duration after : {absl::ZeroDuration(), absl::Seconds(2), absl::Seconds(10)}) {
    SCOPED_TRACE(absl::FormatDuration(after));
    steps_.clear();
    is_idle_ = false;
    Drain drain = Make();
    if (after > absl::ZeroDuration()) drain.Begin();
    loop_.Advance(after);
    drain.EndNow();
    loop_.Advance(kPoll);
    EXPECT_EQ(steps_, (Steps{"lame duck", "refuse", "cut", "over"}));
    drain.EndNow();
    EXPECT_EQ(steps_.size(), 4u);
  }
}

}  // namespace
}  // namespace outrigger::server
