#include "proxy/metrics/label_interner.h"

#include <gtest/gtest.h>

#include <string>

namespace outrigger::metrics {
namespace {

TEST(LabelInterner, KeepsTheFirstValuesAndFoldsTheRest) {
  LabelInterner interner(2);
  const LabelId a = interner.Intern("a");
  EXPECT_FALSE(interner.is_full());
  const LabelId b = interner.Intern("b");
  EXPECT_TRUE(interner.is_full());
  EXPECT_NE(a, b);
  EXPECT_EQ(interner.Intern("c"), LabelId::kOther);
  EXPECT_EQ(interner.Intern("a"), a);
  EXPECT_EQ(interner.Text(b), "b");
  EXPECT_EQ(interner.Text(LabelId::kOther), "other");
}

TEST(LabelInterner, FoldsEverythingWhenNothingIsAllowed) {
  LabelInterner interner(0);
  EXPECT_EQ(interner.Intern("a"), LabelId::kOther);
  LabelCache cache(interner);
  EXPECT_EQ(cache.Intern("a"), LabelId::kOther);
}

TEST(LabelInterner, ShowsOnlyPrintableAsciiOfBoundedLength) {
  LabelInterner interner(10);
  EXPECT_EQ(interner.Text(interner.Intern("a\x01\xff\n\"b")), "a___\"b");
  const std::string longest(LabelInterner::kMaxValueBytes, 'x');
  EXPECT_EQ(interner.Text(interner.Intern(longest + "tail")), longest);
  EXPECT_EQ(interner.Intern(longest + "other tail"), interner.Intern(longest));
  EXPECT_EQ(interner.Text(interner.Intern("")), "");
}

TEST(LabelCache, KnowsWhatOtherWorkersInternedEvenWhenTheTableIsFull) {
  LabelInterner interner(3);
  LabelCache first(interner);
  LabelCache second(interner);
  const LabelId a = first.Intern("a");
  const LabelId b = second.Intern("b");
  const LabelId c = second.Intern("c");
  EXPECT_EQ(first.Intern("d"), LabelId::kOther);
  EXPECT_EQ(first.Intern("b"), b);
  EXPECT_EQ(first.Intern("c"), c);
  EXPECT_EQ(second.Intern("a"), a);
  EXPECT_EQ(second.Intern("e"), LabelId::kOther);
}

TEST(LabelCache, FindsUncleanValuesAgain) {
  LabelInterner interner(1);
  LabelCache cache(interner);
  const LabelId id = cache.Intern("a\xff");
  EXPECT_NE(id, LabelId::kOther);
  EXPECT_EQ(cache.Intern("a\xfe"), id);
  EXPECT_EQ(cache.Intern("a_"), id);
}

}  // namespace
}  // namespace outrigger::metrics
