// Shared ownership with the count inside the object: one word a pointer, one allocation an object.
// For what several workers hold at once (recordings and their segments), where a table of 10,000
// entries must not pay two words each.
//
//   class Segment : public RefCounted<Segment> { ... };
//   RefPtr<Segment> segment = MakeRef<Segment>(arguments);
//
// The count is atomic, the object is destroyed by whichever thread drops the last reference.

#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace outrigger::idempotency {

template <class T>
class RefCounted {
 public:
  RefCounted() = default;
  RefCounted(const RefCounted&) = delete;
  RefCounted& operator=(const RefCounted&) = delete;

  void Ref() const { references_.fetch_add(1, std::memory_order_relaxed); }
  void Unref() const {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete static_cast<const T*>(this);
    }
  }

 protected:
  ~RefCounted() = default;

 private:
  mutable std::atomic<uint32_t> references_{1};
};

template <class T>
class RefPtr {
 public:
  RefPtr() = default;
  RefPtr(const RefPtr& other) : pointer_(other.pointer_) {
    if (pointer_ != nullptr) pointer_->Ref();
  }
  RefPtr(RefPtr&& other) noexcept : pointer_(std::exchange(other.pointer_, nullptr)) {}
  RefPtr& operator=(RefPtr other) noexcept {
    std::swap(pointer_, other.pointer_);
    return *this;
  }
  ~RefPtr() {
    if (pointer_ != nullptr) pointer_->Unref();
  }

  // Takes over the reference that a new object is born with.
  static RefPtr Adopt(T* pointer) {
    RefPtr result;
    result.pointer_ = pointer;
    return result;
  }

  T* get() const { return pointer_; }
  T& operator*() const { return *pointer_; }
  T* operator->() const { return pointer_; }
  explicit operator bool() const { return pointer_ != nullptr; }
  void Reset() { *this = RefPtr(); }

 private:
  T* pointer_ = nullptr;
};

template <class T, class... Arguments>
RefPtr<T> MakeRef(Arguments&&... arguments) {
  return RefPtr<T>::Adopt(new T(std::forward<Arguments>(arguments)...));
}

}  // namespace outrigger::idempotency
