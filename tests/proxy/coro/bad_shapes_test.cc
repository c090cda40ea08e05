// The shapes in which awaiting is forbidden, because a compiler that we build with gets them wrong.
// Each line marked `// bad:` is one that tools/check-awaits must report; its self-test reads this
// file. safe_shapes_test.cc has the shape to write instead.
//
// g++ 12.2 frees twice, loses the resumption, or refuses to compile them, so it never sees them.
// With clang 16 all of them finish correctly; where it leaks when destroyed in between the test
// says so. Numbers are bugs of GCC and LLVM.

#include <gtest/gtest.h>

#if defined(__clang__)

#include <vector>

#include "tests/proxy/coro/shapes.h"

namespace outrigger::shapes {
namespace {

// g++ 12: double free (GCC 100611, 101367).
Task<int> PassesAClosure(Shape& shape) {
  const Probe probe(shape.ledger, 7);
  const int value = co_await ResultOf(shape, [probe] { return probe.value(); });  // bad: lambda
  co_return value;
}

// g++ 12: double free (GCC 98401 and relatives).
Task<int> PassesABracedAggregate(Shape& shape) {
  const int sum = co_await SumOf(shape, Pair{Probe(shape.ledger, 4), 3});  // bad: braces
  co_return sum;
}

Task<int> PassesABracedList(Shape& shape) {
  const int sum = co_await SumOf(shape, {Probe(shape.ledger, 4), 3});  // bad: braces
  co_return sum;
}

Task<int> PassesADesignatedAggregate(Shape& shape) {
  const int sum =
      co_await SumOf(shape, {.first = Probe(shape.ledger, 4), .second = 3});  // bad: braces
  co_return sum;
}

// g++ 12: the resumption is lost, or an illegal instruction (GCC 106188, 106713).
Task<int> BranchesOnAnAwait(Shape& shape) {
  int value = 0;
  if (co_await Truth(shape, true)) value = 7;  // bad: condition
  co_return value;
}

Task<int> LoopsOnAnAwait(Shape& shape) {
  int left = 7;
  while (co_await Truth(shape, left > 0)) --left;  // bad: condition
  co_return 7 - left;
}

Task<int> SwitchesOnAnAwait(Shape& shape) {
  switch (co_await Number(shape, 2)) {  // bad: condition
    case 2:
      co_return 7;
    default:
      co_return 0;
  }
}

Task<int> CombinesAwaits(Shape& shape) {
  const bool both = co_await Truth(shape, true) && co_await Truth(shape, true);  // bad: two, &&
  co_return both ? 7 : 0;
}

// g++ 12: use after free (LLVM 59181 is alike).
Task<int> ChoosesAnAwait(Shape& shape) {
  const bool truth = shape.ledger.live() == 0;
  Probe probe = truth ? co_await Make(shape, 7) : Probe(shape.ledger, 0);  // bad: ?:
  co_return probe.value();
}

// g++ 12: use after free.
Task<int> AwaitsInsideBraces(Shape& shape) {
  const Pair pair{co_await Make(shape, 4), 3};  // bad: braces
  co_return pair.first.value() + pair.second;
}

Task<int> AwaitsInsideAnArgument(Shape& shape) {
  const int value = co_await ValueOf(shape, co_await Make(shape, 7));  // bad: two
  co_return value;
}

// GCC 124584: the binding leaks when the frame is destroyed.
Task<TwoProbes> MakeTwo(Shape& shape) {
  Probe first = co_await Make(shape, 3);
  Probe second = co_await Make(shape, 4);
  co_return TwoProbes{std::move(first), std::move(second)};
}

Task<int> BindsAnAwait(Shape& shape) {
  const auto [first, second] = co_await MakeTwo(shape);  // bad: structured binding
  co_await Wait(shape);
  co_return first.value() + second.value();
}

// g++ 12: internal compiler error (GCC 115851).
#define VALUE_OF(awaited)          \
  ({                               \
    const Probe probe = (awaited); \
    probe.value();                 \
  })

Task<int> AwaitsInAStatementMacro(Shape& shape) {
  const int value = VALUE_OF(co_await Make(shape, 7));  // bad: argument of a macro
  co_return value;
}

// g++ 12: error "array used as initializer". clang 16: leaks the first when the frame is destroyed
// at the second (LLVM 61508, 63818).
Task<int> FillsAListWithAwaits(Shape& shape) {
  const std::vector<Probe> probes{co_await Make(shape, 3), co_await Make(shape, 4)};  // bad: braces
  co_return probes[0].value() + probes[1].value();
}

TEST(BadShapes, WorkWithThisCompiler) {
  for (Task<int> (*make)(Shape&) :
       {PassesAClosure, PassesABracedAggregate, PassesABracedList, PassesADesignatedAggregate,
        BranchesOnAnAwait, LoopsOnAnAwait, SwitchesOnAnAwait, CombinesAwaits, ChoosesAnAwait,
        AwaitsInsideBraces, AwaitsInsideAnArgument, BindsAnAwait, AwaitsInAStatementMacro}) {
    const ShapeRun run = DestroyEverywhere(make);
    EXPECT_EQ(run.result, 7);
    EXPECT_GT(run.waits, 0);
    EXPECT_EQ(run.faults, 0);
  }
}

// Should a later compiler be found to pass, the rule may be reconsidered.
TEST(BadShapes, LeakWhenDestroyedBetweenTwoAwaitsOfAList) {
  const ShapeRun run = DestroyEverywhere(FillsAListWithAwaits);
  EXPECT_EQ(run.result, 7);
  if (__clang_major__ == 16) EXPECT_EQ(run.faults, 1);
}

}  // namespace
}  // namespace outrigger::shapes

#else

TEST(BadShapes, AreKeptFromThisCompiler) { GTEST_SKIP() << "g++ 12 miscompiles them"; }

#endif
