// Random event sequences on BreakerCore and on a slow model that keeps a log of everything.

#include <algorithm>
#include <optional>
#include <vector>

#include "filters/breaker/breaker_core.h"
#include "gtest/gtest.h"
#include "proxy/base/random.h"

namespace outrigger::breaker {
namespace {

struct Model {
  struct Entry {
    int64_t tick;
    bool sample, failed, timed, slow;
  };

  Policy policy;
  std::vector<Entry> log = {};
  int64_t streak = 0;
  int era = 1, log_era = 1, good = 0, bad_probes = 0;
  State state = State::kClosed;
  Override override = Override::kAuto;
  bool busy = false;
  MonoTime now = {}, closed_at = {}, probe_at = {}, due = MonoTime::Infinite();
  absl::Duration nominal = {}, real_open_time = {};  // the latter as the core drew it

  int64_t Tick() const { return now.nanos() / (absl::ToInt64Nanoseconds(policy.window) / 10); }
  int64_t Number(bool Entry::*what) const {
    return std::count_if(log.begin(), log.end(),
                         [&](const Entry& e) { return e.*what && Tick() - e.tick < 10; });
  }
  bool Reached(bool Entry::*part, bool Entry::*of, double ratio) const {
    return Number(of) >= policy.min_requests &&
           static_cast<double>(Number(part)) >= ratio * static_cast<double>(Number(of));
  }
  void Go(State to, bool clear) {
    if (to == State::kOpen && state == State::kClosed && now - closed_at >= absl::Minutes(1))
      bad_probes = 0;
    if (to == State::kClosed) closed_at = now;
    state = to, busy = false, good = 0, due = MonoTime::Infinite(), ++era;
    if (clear) log.clear(), streak = 0, log_era = era;
    nominal =
        std::min(policy.max_open_for, policy.open_for * (int64_t{1} << std::min(bad_probes, 20)));
    if (to == State::kOpen) probe_at = now + real_open_time;
  }
  void FailProbe() {
    ++bad_probes;
    Go(State::kOpen, false);
  }
  void Expire() {
    if (busy && now >= due) FailProbe();
  }
  bool Admit(bool prober) {
    if (state == State::kClosed) return !prober;
    Expire();
    if (!policy.probe.path.empty() && !prober) return false;
    if (state == State::kOpen && override == Override::kAuto && now >= probe_at)
      Go(State::kHalfOpen, true);
    if (state == State::kOpen || busy) return false;
    if (prober)
      due = now + policy.probe.timeout;
    else
      due = MonoTime::Infinite();
    return busy = true;
  }
  void Note(Entry entry) {
    log.push_back(entry);
    if (entry.sample) streak = entry.failed ? streak + 1 : 0;
    const bool trips = streak >= policy.consecutive ||
                       Reached(&Entry::failed, &Entry::sample, policy.failure_ratio) ||
                       Reached(&Entry::slow, &Entry::timed, policy.slow.ratio);
    if (trips && state == State::kClosed && override != Override::kForcedClosed)
      Go(State::kOpen, false);
  }
  void Verdict(int of_era, Outcome outcome, bool slow) {
    Expire();
    slow = slow && outcome != Outcome::kThrottled;
    const bool sample = outcome == Outcome::kSuccess || outcome == Outcome::kFailure,
               failed = outcome == Outcome::kFailure;
    if (of_era != era) return;
    if (state == State::kClosed) {
      if (sample || slow) Note({Tick(), sample, failed, true, slow});
      return;
    }
    busy = false;
    if (failed || slow)
      FailProbe();
    else if (sample && ++good == policy.successes_to_close)
      Go(State::kClosed, false);
  }
  void Cut(int of_era) {
    Expire();
    if (state != State::kOpen && of_era >= log_era) Note({Tick(), true, true, false, false});
  }
  void Force(Override to) {
    if (to == Override::kAuto && override == Override::kForcedOpen) probe_at = now;
    override = to;
    if (to == Override::kForcedOpen && state != State::kOpen) Go(State::kOpen, false);
    if (to == Override::kForcedClosed && state != State::kClosed) Go(State::kClosed, true);
  }
};

Policy RandomPolicy(Random& random) {
  Policy policy;
  policy.failure_ratio = random.Uniform(0.2, 1.0);
  policy.window = absl::Seconds(1 + static_cast<int64_t>(random.Below(20)));
  policy.min_requests = 1 + static_cast<int>(random.Below(12));
  policy.consecutive = 2 + static_cast<int>(random.Below(8));
  policy.slow.ratio = random.Uniform(0.3, 1.0);
  policy.open_for = absl::Seconds(1 + static_cast<int64_t>(random.Below(8)));
  policy.max_open_for = absl::Seconds(8 + static_cast<int64_t>(random.Below(60)));
  policy.successes_to_close = 1 + static_cast<int>(random.Below(4));
  if (random.Below(2) == 0) policy.probe.path = "/health";
  return policy;
}

struct Held {
  Ticket ticket;
  int era;
  bool judged = false;
};

class Comparison {
 public:
  explicit Comparison(uint64_t seed)
      : random_(seed),
        policy_(RandomPolicy(random_)),
        core_(policy_, seed, MonoTime()),
        model_{policy_},
        failing_(random_.Uniform()) {}

  void Step() {
    if (random_.Below(100) == 0) failing_ = random_.Uniform();  // the service heals or sickens
    now_ = now_ + absl::Milliseconds(
                      static_cast<int64_t>(random_.Below(random_.Below(50) == 0 ? 70'000 : 600)));
    model_.now = now_;
    const uint64_t kind = random_.Below(100);
    if (kind < 45 || held_.empty()) {
      Acquire(kind % 5 == 0);
      return;
    }
    const size_t pick = random_.Below(held_.size());
    Held& one = held_[pick];
    if (kind < 90 && !one.judged) {
      const double draw = random_.Uniform();
      const Outcome outcome = draw < 0.1                     ? Outcome::kIgnore
                              : draw < 0.2                   ? Outcome::kThrottled
                              : random_.Uniform() < failing_ ? Outcome::kFailure
                                                             : Outcome::kSuccess;
      const bool slow = random_.Uniform() < failing_ / 2;
      Check(core_.Record(one.ticket, outcome, slow, now_),
            [&] { model_.Verdict(one.era, outcome, slow); });
      one.judged = true;
    } else if (kind < 94 && one.judged) {
      Check(core_.AddLateFailure(one.ticket, now_), [&] { model_.Cut(one.era); });
      held_.erase(held_.begin() + static_cast<int64_t>(pick));
    } else if (kind < 97) {
      if (!one.judged) {
        core_.Abandon(one.ticket);
        if (one.era == model_.era && one.ticket.is_probe) model_.busy = false;
      }
      held_.erase(held_.begin() + static_cast<int64_t>(pick));
    } else if (random_.Below(10) == 0) {
      // Automatic twice as often, or little would be seen of it.
      const auto to = static_cast<Override>(random_.Below(4) % 3);
      Check(core_.SetOverride(to, now_), [&] { model_.Force(to); });
    }
  }

  void ExpectSame() {
    const Snapshot snapshot = core_.TakeSnapshot(now_);
    ASSERT_EQ(snapshot.state, model_.state);
    ASSERT_EQ(snapshot.counts.samples, model_.Number(&Model::Entry::sample));
    ASSERT_EQ(snapshot.counts.failures, model_.Number(&Model::Entry::failed));
    ASSERT_EQ(snapshot.counts.timed, model_.Number(&Model::Entry::timed));
    ASSERT_EQ(snapshot.counts.slow, model_.Number(&Model::Entry::slow));
    ASSERT_EQ(snapshot.consecutive, model_.streak);
    ASSERT_EQ(snapshot.probe_successes, model_.good);
    ASSERT_EQ(snapshot.probe_under_way, model_.busy);
  }

  uint64_t transitions = 0;

 private:
  void Acquire(bool prober) {
    const Admission admission = prober ? core_.TryAcquireProbe(now_) : core_.TryAcquire(now_);
    bool admitted = false;
    Check(admission.transition, [&] { admitted = model_.Admit(prober); });
    ASSERT_EQ(admission.admitted, admitted);
    if (admitted) held_.push_back({admission.ticket, model_.era});
    if (!admitted && model_.state == State::kOpen && model_.override == Override::kAuto) {
      ASSERT_EQ(admission.retry_after, std::max(model_.probe_at - now_, absl::ZeroDuration()));
    }
  }

  template <class Body>
  void Check(const std::optional<Transition>& transition, Body body) {
    const State before = model_.state;
    model_.real_open_time = transition.has_value() ? transition->open_for : absl::ZeroDuration();
    body();
    ASSERT_EQ(transition.has_value(), before != model_.state);
    if (!transition.has_value()) return;
    ++transitions;
    ASSERT_EQ(transition->from, before);
    ASSERT_EQ(transition->to, model_.state);
    if (model_.state != State::kOpen) return;
    ASSERT_GE(transition->open_for, 0.8 * model_.nominal - absl::Nanoseconds(1));
    ASSERT_LE(transition->open_for,
              std::min(1.2 * model_.nominal + absl::Nanoseconds(1), policy_.max_open_for));
  }

  Random random_;
  const Policy policy_;
  BreakerCore core_;
  Model model_;
  double failing_;
  MonoTime now_;
  std::vector<Held> held_;
};

TEST(BreakerModel, AgreesOnRandomEventSequences) {
  constexpr uint64_t kFirstSeed = 90'210;
  uint64_t transitions = 0;
  for (uint64_t seed = kFirstSeed; seed < kFirstSeed + 1500; ++seed) {
    Comparison run(seed);
    for (int step = 0; step < 600; ++step) {
      run.Step();
      if (!HasFatalFailure()) run.ExpectSame();
      ASSERT_FALSE(HasFatalFailure()) << "seed " << seed << " step " << step;
    }
    transitions += run.transitions;
  }
  EXPECT_GT(transitions, 10'000u) << "the sequences must reach all states often";
}

}  // namespace
}  // namespace outrigger::breaker
