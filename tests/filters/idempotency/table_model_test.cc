// The key table against a slow and obvious model, under random sequences of calls.

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "filters/idempotency/table.h"
#include "gtest/gtest.h"
#include "tests/filters/idempotency/table_support.h"

namespace outrigger::idempotency {
namespace {

using http::Effects;
using Kind = BeginResult::Kind;

constexpr size_t kHeadCost = sizeof(Recording);

// One map, no shards; what has expired is gone at once.
class Model {
 public:
  struct Key {
    State state = State::kReserved;
    Effects effects = Effects::kUnsafe;
    std::string target;
    int execution = 0;
    MonoTime completed;
    size_t body_cost = 0;
    std::string body;
    int unknown_status = 0;
  };

  Model(TableLimits limits, const IdempotencyPolicy& policy) : limits_(limits), policy_(policy) {}

  void Expire(MonoTime now) {
    for (auto it = keys_.begin(); it != keys_.end();) {
      it = HasExpired(it->second, now) ? keys_.erase(it) : std::next(it);
    }
  }

  Kind Begin(int id, Effects effects, const std::string& target, int execution) {
    const auto found = keys_.find(id);
    if (found != keys_.end()) {
      const Key& key = found->second;
      if (key.target != target) return Kind::kMismatch;
      switch (key.state) {
        case State::kDone:
          return Kind::kReplay;
        case State::kTombstone:
          return Kind::kTombstone;
        case State::kUnknown:
          return Kind::kUnknown;
        default:
          return overflowed_[key.execution] ? Kind::kInFlight : Kind::kJoin;
      }
    }
    if (keys_.size() == limits_.max_keys && !Evict(/*releasable_only=*/true)) return Kind::kFull;
    keys_[id] = {State::kReserved, effects, target, execution, {}, 0, "", 0};
    return Kind::kNew;
  }

  // The recording of `execution` wants that much more.
  void Reserve(int execution, size_t bytes) {
    if (overflowed_[execution]) return;
    while (UsedBytes() + bytes > limits_.max_bodies_bytes) {
      // Nothing is evicted for what could not fit into an empty table.
      if (bytes <= limits_.max_bodies_bytes && Evict(false)) continue;
      overflowed_[execution] = true;
      running_cost_.erase(execution);
      return;
    }
    running_cost_[execution] += bytes;
  }

  // The key if it still belongs to that execution.
  Key* Find(int id, int execution) {
    const auto found = keys_.find(id);
    if (found == keys_.end() || !InFlight(found->second)) return nullptr;
    return found->second.execution == execution ? &found->second : nullptr;
  }

  // False when the admin had erased the key.
  bool Settle(int id, int execution, State to, MonoTime now) {
    Key* key = Find(id, execution);
    if (key == nullptr) return false;
    if (to == State::kAbsent) {
      keys_.erase(id);
    } else {
      key->state = to;
      key->completed = now;
      if (to == State::kDone) key->body_cost = running_cost_[execution];
    }
    // Everything but DONE gives the recording up.
    running_cost_.erase(execution);
    return true;
  }

  void Erase(int id) {
    const auto found = keys_.find(id);
    if (found == keys_.end()) return;
    if (InFlight(found->second)) running_cost_.erase(found->second.execution);
    keys_.erase(found);
  }
  void Forget(int execution) { running_cost_.erase(execution); }

  bool overflowed(int execution) { return overflowed_[execution]; }
  std::map<int, Key>& keys() { return keys_; }
  size_t UsedBytes() const {
    size_t used = 0;
    for (const auto& [id, key] : keys_) used += key.state == State::kDone ? key.body_cost : 0;
    for (const auto& [execution, cost] : running_cost_) used += cost;
    return used;
  }

 private:
  static bool InFlight(const Key& key) {
    return key.state == State::kReserved || key.state == State::kExecuting;
  }

  // Turns an unsafe answer whose body has expired into a tombstone.
  bool HasExpired(Key& key, MonoTime now) const {
    if (InFlight(key)) return false;
    if (key.completed + policy_.key_ttl <= now) return true;
    if (key.state != State::kDone || key.completed + policy_.response_ttl > now) return false;
    if (key.effects != Effects::kUnsafe) return true;
    key.state = State::kTombstone;
    return false;
  }

  bool Evict(bool releasable_only) {
    auto oldest = keys_.end();
    for (auto it = keys_.begin(); it != keys_.end(); ++it) {
      if (it->second.state != State::kDone) continue;
      if (releasable_only && it->second.effects == Effects::kUnsafe) continue;
      if (oldest == keys_.end() || it->second.completed < oldest->second.completed) oldest = it;
    }
    if (oldest == keys_.end()) return false;
    if (oldest->second.effects == Effects::kUnsafe) {
      oldest->second.state = State::kTombstone;
    } else {
      keys_.erase(oldest);
    }
    return true;
  }

  const TableLimits limits_;
  const IdempotencyPolicy& policy_;
  std::map<int, Key> keys_;
  std::map<int, size_t> running_cost_;
  std::map<int, bool> overflowed_;
};

class ModelRun {
 public:
  explicit ModelRun(uint64_t seed) : random_(seed) {
    limits_.max_keys = 2 + Below(8);
    limits_.max_bodies_bytes = kHeadCost * 4 + Below(20000);
    policy_.key_ttl = absl::Seconds(20 + Below(100));
    policy_.response_ttl = absl::Seconds(10 + Below(100));
    model_.emplace(limits_, policy_);
    table_ = std::make_unique<KeyTable>(KeyTable::Options{
        .limits = limits_, .budget = &budget_, .audit = &audit_, .clock = [this] { return now_; }});
  }

  void Run(int steps) {
    for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) Step();
    if (testing::Test::HasFatalFailure()) return;
    executions_.clear();
    CheckAudit();
    table_.reset();
    EXPECT_EQ(budget_.used_bytes(), 0u);
  }

 private:
  struct Execution {
    int id;
    int number;
    Effects effects;
    bool executing = false;
    bool has_head = false;
    std::string body;
    BeginResult begin;
  };

  uint64_t Below(uint64_t bound) { return random_() % bound; }

  void Step() {
    // Strictly growing, so that "oldest" has one meaning.
    now_ = now_ + absl::Milliseconds(1 + Below(Below(20) == 0 ? 60000 : 500));
    model_->Expire(now_);
    const uint64_t dice = Below(100);
    if (dice < 45) return Begin();
    if (dice < 48) return Erase();
    if (dice < 52) {
      table_->Sweep(now_, 1000);
      return CheckCounts();
    }
    if (executions_.empty()) return;
    const size_t chosen = Below(executions_.size());
    Advance(executions_[chosen]);
    const Reservation& reservation = executions_[chosen].begin.reservation;
    if (!reservation || reservation.is_settled()) {
      model_->Forget(executions_[chosen].number);
      executions_.erase(executions_.begin() + static_cast<ptrdiff_t>(chosen));
    }
  }

  void Begin() {
    const int id = static_cast<int>(Below(12));
    const auto effects = static_cast<Effects>(id % 3);
    const std::string target = Below(10) == 0 ? "/b" : "/a";
    const int number = next_execution_++;
    const StoreKey key = TestKey(static_cast<uint64_t>(id));
    const FingerprintHead head = TestFingerprint(target, "").head;
    BeginResult result = table_->Begin({key, head, effects, policy_, MonoTime::Infinite()}, now_);
    const Kind expected = model_->Begin(id, effects, target, number);
    ASSERT_EQ(static_cast<int>(result.kind), static_cast<int>(expected));
    switch (result.kind) {
      case Kind::kNew:
        result.reader.reset();
        executions_.push_back({id, number, effects, false, false, "", std::move(result)});
        break;
      case Kind::kReplay: {
        std::string body;
        CountingWaiter waiter;
        ASSERT_EQ(ReadAvailable(*result.reader, waiter, &body), ReadResult::State::kEnd);
        ASSERT_EQ(body, model_->keys()[id].body);
        break;
      }
      case Kind::kUnknown:
        ASSERT_EQ(result.unknown.status, model_->keys()[id].unknown_status);
        break;
      case Kind::kFull:
        ASSERT_EQ(result.bypass, effects != Effects::kUnsafe);
        break;
      default:
        break;
    }
  }

  void Erase() {
    const int id = static_cast<int>(Below(12));
    table_->Sweep(now_, 1000);  // so that nothing is erased that had expired
    const bool known = model_->keys().contains(id);
    ASSERT_EQ(table_->Erase(TestKey(static_cast<uint64_t>(id)).prefix()), known ? 1u : 0u);
    model_->Erase(id);
  }

  void Advance(Execution& execution) {
    Reservation& reservation = execution.begin.reservation;
    Recording& recording = reservation.recording();
    const bool unsafe = execution.effects == Effects::kUnsafe;
    const auto or_absent = [&](State state) { return unsafe ? state : State::kAbsent; };
    if (!execution.executing) {
      if (Below(4) == 0) {
        ASSERT_EQ(reservation.Release(),
                  model_->Settle(execution.id, execution.number, State::kAbsent, now_));
        return;
      }
      Model::Key* key = model_->Find(execution.id, execution.number);
      ASSERT_TRUE(reservation.MarkExecuting());
      execution.executing = true;
      if (key != nullptr) key->state = State::kExecuting;
      return;
    }
    if (!execution.has_head) {
      execution.has_head = true;
      recording.SetHead(200, NoHeaders(), "", std::nullopt);
      model_->Reserve(execution.number, kHeadCost);
      const std::string body(1 + Below(6000), static_cast<char>('a' + Below(26)));
      execution.body = body;
      recording.Append(body);
      model_->Reserve(execution.number, Segment::Cost(std::max<size_t>(body.size(), 1024)));
      ASSERT_EQ(recording.overflowed(), model_->overflowed(execution.number));
      return;
    }
    switch (Below(5)) {
      case 0:
        ASSERT_EQ(reservation.Release(),
                  model_->Settle(execution.id, execution.number, State::kAbsent, now_));
        break;
      case 1: {
        const UnknownAnswer answer{static_cast<int>(502 + Below(2) * 2), http::Reason::kDeadline};
        Model::Key* key = model_->Find(execution.id, execution.number);
        if (key != nullptr) key->unknown_status = answer.status;
        const bool settled =
            model_->Settle(execution.id, execution.number, or_absent(State::kUnknown), now_);
        ASSERT_EQ(reservation.SetUnknown(answer, now_).has_value(), settled);
        break;
      }
      case 2: {
        // The reservation is dropped, as when its frame is destroyed.
        Model::Key* key = model_->Find(execution.id, execution.number);
        if (key != nullptr) key->unknown_status = UnknownAnswer().status;
        model_->Settle(execution.id, execution.number, or_absent(State::kUnknown), now_);
        const Reservation dropped = std::move(reservation);
        break;
      }
      default: {
        recording.Complete(NoHeaders());
        const State to = recording.overflowed() ? or_absent(State::kTombstone) : State::kDone;
        Model::Key* key = model_->Find(execution.id, execution.number);
        if (key != nullptr) key->body = execution.body;
        const bool settled = model_->Settle(execution.id, execution.number, to, now_);
        const std::optional<State> reached = reservation.Complete(now_);
        ASSERT_EQ(reached.has_value(), settled);
        if (settled) {
          ASSERT_EQ(*reached, to);
        }
      }
    }
  }

  void CheckCounts() {
    const TableStats stats = table_->Stats();
    ASSERT_TRUE(IsConserved(stats));
    std::array<size_t, kStates> expected{};
    for (const auto& [id, key] : model_->keys()) ++expected[static_cast<size_t>(key.state)];
    ASSERT_EQ(stats.keys, expected);
    ASSERT_EQ(stats.body_bytes, model_->UsedBytes());
    ASSERT_EQ(stats.illegal, 0u);
  }

  // Each key's events form one chain of legal steps.
  void CheckAudit() {
    std::map<uint64_t, State> states;
    for (const AuditListener::Event& event : audit_.events()) {
      EXPECT_EQ(states[event.key_prefix], event.from);
      EXPECT_TRUE(IsLegal(event.from, event.to, event.effects));
      states[event.key_prefix] = event.to;
    }
    EXPECT_TRUE(audit_.illegal().empty());
  }

  std::mt19937_64 random_;
  MonoTime now_ = At(1);
  MemoryBudget budget_{size_t{64} << 20};
  CollectingAudit audit_;
  TableLimits limits_;
  IdempotencyPolicy policy_;
  std::optional<Model> model_;
  std::unique_ptr<KeyTable> table_;
  std::vector<Execution> executions_;
  int next_execution_ = 1;
};

TEST(KeyTableModel, AgreesWithTheReferenceModel) {
  std::random_device device;
  for (int round = 0; round < 60; ++round) {
    const uint64_t seed = static_cast<uint64_t>(device()) << 32 | device();
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    ModelRun(seed).Run(2000);
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace outrigger::idempotency
