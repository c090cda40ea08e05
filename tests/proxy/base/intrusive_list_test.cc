#include "proxy/base/intrusive_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "proxy/base/random.h"

namespace outrigger {
namespace {

struct Item : ListNode {
  explicit Item(int number) : value(number) {}
  int value;
};

std::vector<int> Values(IntrusiveList<Item>& list) {
  std::vector<int> values;
  list.ForEach([&values](Item& item) { values.push_back(item.value); });
  return values;
}

TEST(IntrusiveList, KeepsOrder) {
  Item a(1), b(2), c(3);
  IntrusiveList<Item> list;
  EXPECT_TRUE(list.empty());
  list.PushBack(b);
  list.PushBack(c);
  list.PushFront(a);
  EXPECT_EQ(Values(list), (std::vector<int>{1, 2, 3}));
  EXPECT_EQ(list.front().value, 1);
  EXPECT_EQ(list.back().value, 3);
}

TEST(IntrusiveList, AnElementLeavesWhenItIsDestroyed) {
  IntrusiveList<Item> list;
  Item a(1);
  list.PushBack(a);
  {
    Item b(2);
    list.PushBack(b);
    EXPECT_TRUE(b.is_linked());
  }
  EXPECT_EQ(Values(list), std::vector<int>{1});
}

TEST(IntrusiveList, UnlinkingTwiceChangesNothing) {
  IntrusiveList<Item> list;
  Item a(1), b(2);
  list.PushBack(a);
  list.PushBack(b);
  a.Unlink();
  a.Unlink();
  EXPECT_FALSE(a.is_linked());
  EXPECT_EQ(Values(list), std::vector<int>{2});
}

TEST(IntrusiveList, LetsGoOfItsElementsWhenItIsDestroyed) {
  Item a(1), b(2);
  {
    IntrusiveList<Item> list;
    list.PushBack(a);
    list.PushBack(b);
  }
  EXPECT_FALSE(a.is_linked());
  EXPECT_FALSE(b.is_linked());
}

TEST(IntrusiveList, TakesAllOfAnotherInOrder) {
  Item a(1), b(2), c(3);
  IntrusiveList<Item> list;
  IntrusiveList<Item> other;
  list.PushBack(a);
  other.PushBack(b);
  other.PushBack(c);
  list.TakeAll(other);
  EXPECT_TRUE(other.empty());
  EXPECT_EQ(Values(list), (std::vector<int>{1, 2, 3}));
}

TEST(IntrusiveList, AVisitorMayDestroyTheElementItWasGiven) {
  IntrusiveList<Item> list;
  for (int i = 0; i < 10; ++i) list.PushBack(*new Item(i));
  list.ForEach([](Item& item) {
    if (item.value % 2 == 0) delete &item;
  });
  EXPECT_EQ(Values(list), (std::vector<int>{1, 3, 5, 7, 9}));
  while (!list.empty()) delete &list.front();
}

TEST(IntrusiveList, EqualsAVectorUnderRandomOperations) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    std::vector<std::unique_ptr<Item>> items;
    for (int i = 0; i < 20; ++i) items.push_back(std::make_unique<Item>(i));
    IntrusiveList<Item> list;
    std::vector<int> model;
    for (int step = 0; step < 2000; ++step) {
      Item& item = *items[random.Below(items.size())];
      switch (random.Below(3)) {
        case 0:
          if (item.is_linked()) break;
          list.PushBack(item);
          model.push_back(item.value);
          break;
        case 1:
          if (item.is_linked()) break;
          list.PushFront(item);
          model.insert(model.begin(), item.value);
          break;
        default:
          item.Unlink();
          model.erase(std::remove(model.begin(), model.end(), item.value), model.end());
      }
      ASSERT_EQ(Values(list), model) << "step " << step;
    }
  }
}

}  // namespace
}  // namespace outrigger
