#include "filters/idempotency/state.h"

#include <set>
#include <tuple>

#include "gtest/gtest.h"

namespace outrigger::idempotency {
namespace {

using http::Effects;

TEST(State, AllowsExactlyTheStepsOfTheStateMachine) {
  const std::set<std::pair<State, State>> always = {
      {State::kAbsent, State::kReserved},  {State::kReserved, State::kExecuting},
      {State::kExecuting, State::kDone},   {State::kReserved, State::kAbsent},
      {State::kExecuting, State::kAbsent}, {State::kDone, State::kAbsent},
      {State::kTombstone, State::kAbsent}, {State::kUnknown, State::kAbsent},
  };
  const std::set<std::pair<State, State>> unsafe_only = {
      {State::kExecuting, State::kTombstone},
      {State::kExecuting, State::kUnknown},
      {State::kDone, State::kTombstone},
  };
  for (int from = 0; from < kStates; ++from) {
    for (int to = 0; to < kStates; ++to) {
      const std::pair step(static_cast<State>(from), static_cast<State>(to));
      const bool always_legal = always.contains(step);
      const bool unsafe_legal = always_legal || unsafe_only.contains(step);
      EXPECT_EQ(IsLegal(step.first, step.second, Effects::kNone), always_legal);
      EXPECT_EQ(IsLegal(step.first, step.second, Effects::kKeyed), always_legal);
      EXPECT_EQ(IsLegal(step.first, step.second, Effects::kUnsafe), unsafe_legal)
          << StateName(step.first) << " -> " << StateName(step.second);
    }
  }
}

TEST(State, HasDistinctNames) {
  std::set<std::string_view> names;
  for (int i = 0; i < kStates; ++i) names.insert(StateName(static_cast<State>(i)));
  EXPECT_EQ(names.size(), size_t{kStates});
  EXPECT_FALSE(names.contains(""));
  for (int i = 0; i <= static_cast<int>(Cause::kErased); ++i) {
    EXPECT_FALSE(CauseName(static_cast<Cause>(i)).empty()) << i;
  }
}

}  // namespace
}  // namespace outrigger::idempotency
