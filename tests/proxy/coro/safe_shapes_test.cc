// The shapes in which this code base awaits, each run to its end and destroyed at every wait, with
// both compilers. g++ 12 and clang 16 miscompile other shapes (bad_shapes_test.cc has them, and
// tools/check-awaits finds them); beside each replacement stands the shape that it replaces.

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <vector>

#include "proxy/base/expected.h"
#include "proxy/coro/abortable.h"
#include "tests/proxy/coro/shapes.h"

namespace outrigger::shapes {
namespace {

struct Problem {
  int code = 0;
};

Task<int> AwaitsAsAStatement(Shape& shape) {
  const Probe probe(shape.ledger, 7);
  co_await Wait(shape);
  co_return probe.value();
}

Task<int> InitialisesALocal(Shape& shape) {
  const Probe probe = co_await Make(shape, 7);
  co_return probe.value();
}

Task<int> ReturnsWhatItAwaits(Shape& shape) {
  const int number = 7;
  co_return co_await Number(shape, number);
}

Task<int> PassesAMovedLocal(Shape& shape) {
  Probe probe(shape.ledger, 7);
  const int value = co_await ValueOf(shape, std::move(probe));
  co_return value;
}

Task<int> PassesACopy(Shape& shape) {
  const Probe probe(shape.ledger, 7);
  const int value = co_await ValueOf(shape, probe);
  co_return value;
}

Task<int> PassesAReferenceToALocal(Shape& shape) {
  const Probe probe(shape.ledger, 7);
  const int value = co_await ValueOfReferred(shape, probe);
  co_return value;
}

Task<int> PassesAConstructedObject(Shape& shape) {
  const int value = co_await ValueOf(shape, Probe(shape.ledger, 7));
  co_return value;
}

Task<int> RefersToAConstructedObject(Shape& shape) {
  const int value = co_await ValueOfReferred(shape, Probe(shape.ledger, 7));
  co_return value;
}

// For: co_await SumOf(shape, {Probe(...), 3}) and co_await SumOf(shape, Pair{...}).
Task<int> NamesTheAggregate(Shape& shape) {
  Pair pair{Probe(shape.ledger, 4), 3};
  const int sum = co_await SumOf(shape, std::move(pair));
  co_return sum;
}

// For: co_await ResultOf(shape, [probe] { ... }).
Task<int> NamesTheClosure(Shape& shape) {
  const Probe probe(shape.ledger, 7);
  std::function<int()> function = [probe] { return probe.value(); };
  const int value = co_await ResultOf(shape, std::move(function));
  co_return value;
}

// For: if (co_await Truth(shape, true)) ...
Task<int> NamesTheCondition(Shape& shape) {
  int value = 0;
  const bool truth = co_await Truth(shape, true);
  if (truth) value = 7;
  const bool more = co_await Truth(shape, false);
  if (truth && more) value = 0;
  co_return value;
}

// For: switch (co_await Number(shape, 2)).
Task<int> NamesTheSwitchedNumber(Shape& shape) {
  const int number = co_await Number(shape, 2);
  switch (number) {
    case 2: {
      const Probe probe = co_await Make(shape, 7);
      co_return probe.value();
    }
    default:
      co_return 0;
  }
}

// For: Probe probe = truth ? co_await Make(shape, 7) : Probe(...).
Task<int> BranchesInPlaceOfTheConditionalOperator(Shape& shape) {
  std::optional<Probe> probe;
  const bool truth = co_await Truth(shape, true);
  if (truth) {
    Probe made = co_await Make(shape, 7);
    probe.emplace(std::move(made));
  } else {
    probe.emplace(shape.ledger, 0);
  }
  co_await Wait(shape);
  co_return probe->value();
}

// For: TwoProbes two{co_await Make(shape, 3), co_await Make(shape, 4)}.
Task<int> AwaitsBeforeTheBraces(Shape& shape) {
  Probe first = co_await Make(shape, 3);
  Probe second = co_await Make(shape, 4);
  const TwoProbes two{std::move(first), std::move(second)};
  co_await Wait(shape);
  co_return two.first.value() + two.second.value();
}

// For: std::vector<Probe> probes{co_await Make(shape, 3), co_await Make(shape, 4)}.
Task<int> AppendsToAVector(Shape& shape) {
  std::vector<Probe> probes;
  for (int i = 3; i <= 4; ++i) {
    Probe probe = co_await Make(shape, i);
    probes.push_back(std::move(probe));
  }
  int sum = 0;
  for (const Probe& probe : probes) {
    const int value = co_await ValueOfReferred(shape, probe);
    sum += value;
  }
  co_return sum;
}

// For: auto [first, second] = co_await ...
Task<TwoProbes> MakeTwo(Shape& shape) {
  Probe first = co_await Make(shape, 3);
  Probe second = co_await Make(shape, 4);
  co_return TwoProbes{std::move(first), std::move(second)};
}

Task<int> NamesThePair(Shape& shape) {
  const TwoProbes two = co_await MakeTwo(shape);
  const auto& [first, second] = two;
  co_await Wait(shape);
  co_return first.value() + second.value();
}

Task<int> AwaitsAsTheBodyOfAnIf(Shape& shape) {
  int value = 0;
  const Probe probe(shape.ledger, 7);
  if (probe.value() == 7) co_await Wait(shape);
  if (probe.value() == 0) {
    value = 1;
  } else {
    co_await Wait(shape);
  }
  co_return value + probe.value();
}

Task<int> AwaitsAsTheBodyOfALoop(Shape& shape) {
  const MonoTime end = shape.loop.Now() + absl::Seconds(3);
  while (shape.loop.Now() < end) co_await Wait(shape);
  co_return 7;
}

Task<Expected<Probe, Problem>> MakeOrFail(Shape& shape, bool fails) {
  co_await Wait(shape);
  if (fails) co_return Problem{7};
  Probe probe(shape.ledger, 1);
  co_return probe;
}

Task<Expected<Probe, Problem>> PassOn(Shape& shape, bool fails) {
  Expected<Probe, Problem> made = co_await MakeOrFail(shape, fails);
  if (!made.ok()) co_return made.error();
  co_return made;
}

Task<int> TakesExpectedResults(Shape& shape) {
  Expected<Probe, Problem> good = co_await PassOn(shape, false);
  const Probe taken = std::move(good).value();
  Expected<Probe, Problem> bad = co_await PassOn(shape, true);
  co_return bad.error().code* taken.value();
}

Task<int> AwaitsATaskThatItHolds(Shape& shape) {
  Task<int> task = ValueOf(shape, Probe(shape.ledger, 7));
  co_await Wait(shape);
  const int value = co_await std::move(task);
  co_return value;
}

Task<int> AwaitsAnAbortable(Shape& shape) {
  Abortable<int> abortable(ValueOf(shape, Probe(shape.ledger, 7)));
  const std::optional<int> value = co_await abortable;
  co_return value.value_or(0);
}

Task<int> Descend(Shape& shape, int depth) {
  const Probe probe(shape.ledger, 1);
  if (depth == 0) co_return 0;
  co_await Wait(shape);
  const int below = co_await Descend(shape, depth - 1);
  co_await Wait(shape);
  co_return below + probe.value();
}

Task<int> CallsItself(Shape& shape) { co_return co_await Descend(shape, 7); }

struct NamedShape {
  const char* name;
  Task<int> (*make)(Shape&);
  int waits;
};

class SafeShape : public testing::TestWithParam<NamedShape> {};

TEST_P(SafeShape, LeaksNothingAndFreesNothingTwiceWhereverItIsDestroyed) {
  const ShapeRun run = DestroyEverywhere(GetParam().make);
  EXPECT_EQ(run.result, 7);
  EXPECT_EQ(run.waits, GetParam().waits);
  EXPECT_EQ(run.faults, 0);
}

#define SHAPE(function, waits) \
  NamedShape { #function, function, waits }

INSTANTIATE_TEST_SUITE_P(
    Table, SafeShape,
    testing::Values(
        SHAPE(AwaitsAsAStatement, 1), SHAPE(InitialisesALocal, 1), SHAPE(ReturnsWhatItAwaits, 1),
        SHAPE(PassesAMovedLocal, 1), SHAPE(PassesACopy, 1), SHAPE(PassesAReferenceToALocal, 1),
        SHAPE(PassesAConstructedObject, 1), SHAPE(RefersToAConstructedObject, 1),
        SHAPE(NamesTheAggregate, 1), SHAPE(NamesTheClosure, 1), SHAPE(NamesTheCondition, 2),
        SHAPE(NamesTheSwitchedNumber, 2), SHAPE(BranchesInPlaceOfTheConditionalOperator, 3),
        SHAPE(AwaitsBeforeTheBraces, 3), SHAPE(AppendsToAVector, 4), SHAPE(NamesThePair, 3),
        SHAPE(AwaitsAsTheBodyOfAnIf, 2), SHAPE(AwaitsAsTheBodyOfALoop, 3),
        SHAPE(TakesExpectedResults, 2), SHAPE(AwaitsATaskThatItHolds, 2),
        SHAPE(AwaitsAnAbortable, 1), SHAPE(CallsItself, 14)),
    [](const testing::TestParamInfo<NamedShape>& shape) { return std::string(shape.param.name); });

}  // namespace
}  // namespace outrigger::shapes
