// A doubly linked list whose links live in its elements: no allocation, O(1) removal by the element
// itself. An element leaves its list when it is destroyed.
//
//   struct Waiter : ListNode { ... };
//   IntrusiveList<Waiter> waiters;
//   waiters.PushBack(waiter);      // the list does not own
//   waiter.Unlink();               // or let its destructor do it
//
// One thread. An element is in at most one list; a list must be empty when destroyed or its
// elements must not outlive it: the destructor unlinks whatever is left.

#pragma once

namespace outrigger {

class ListNode {
 public:
  ListNode() = default;
  ~ListNode() { Unlink(); }
  ListNode(const ListNode&) = delete;
  ListNode& operator=(const ListNode&) = delete;

  bool is_linked() const { return next_ != nullptr; }

  // Does nothing when not linked.
  void Unlink() {
    if (next_ == nullptr) return;
    prev_->next_ = next_;
    next_->prev_ = prev_;
    prev_ = next_ = nullptr;
  }

 private:
  template <class T>
  friend class IntrusiveList;

  ListNode* prev_ = nullptr;
  ListNode* next_ = nullptr;
};

template <class T>
class IntrusiveList {
 public:
  IntrusiveList() { head_.prev_ = head_.next_ = &head_; }
  ~IntrusiveList() {
    while (!empty()) head_.next_->Unlink();
    head_.prev_ = head_.next_ = nullptr;
  }
  IntrusiveList(const IntrusiveList&) = delete;
  IntrusiveList& operator=(const IntrusiveList&) = delete;

  bool empty() const { return head_.next_ == &head_; }
  // REQUIRES: !empty().
  T& front() { return static_cast<T&>(*head_.next_); }
  T& back() { return static_cast<T&>(*head_.prev_); }

  // REQUIRES: !element.is_linked().
  void PushBack(T& element) { Insert(element, head_.prev_, &head_); }
  void PushFront(T& element) { Insert(element, &head_, head_.next_); }

  // Moves all elements of `other` to the back of this list, in order.
  void TakeAll(IntrusiveList& other) {
    while (!other.empty()) {
      T& element = other.front();
      element.Unlink();
      PushBack(element);
    }
  }

  // Visits in order; `visit` may unlink the element it was given, no other.
  template <class Visit>
  void ForEach(Visit visit) {
    for (ListNode* node = head_.next_; node != &head_;) {
      ListNode* next = node->next_;
      visit(static_cast<T&>(*node));
      node = next;
    }
  }

 private:
  static void Insert(ListNode& node, ListNode* before, ListNode* after) {
    node.prev_ = before;
    node.next_ = after;
    before->next_ = &node;
    after->prev_ = &node;
  }

  ListNode head_;
};

}  // namespace outrigger
