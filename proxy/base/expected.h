// Either a value or the reason why there is none, for results whose error is a type of our own
// (http::Failure). Use absl::StatusOr where the error is a message for people.
//
//   Expected<Response, Failure> result = co_await next(request);
//   if (!result.ok()) return Decide(result.error());
//   Use(std::move(result).value());

#pragma once

#include <cstdlib>
#include <type_traits>
#include <utility>
#include <variant>

namespace outrigger {

template <class Value, class Error>
class [[nodiscard]] Expected {
  static_assert(!std::is_same_v<Value, Error>);

 public:
  // Implicit, so that a function can `return value;` or `return error;`.
  Expected(Value value) : state_(std::in_place_index<0>, std::move(value)) {}  // NOLINT
  Expected(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }

  // REQUIRES: ok().
  Value& value() & { return Checked<0>(state_); }
  const Value& value() const& { return Checked<0>(state_); }
  Value&& value() && { return std::move(Checked<0>(state_)); }
  Value* operator->() { return &value(); }
  const Value* operator->() const { return &value(); }
  Value& operator*() & { return value(); }
  const Value& operator*() const& { return value(); }

  // REQUIRES: !ok().
  Error& error() & { return Checked<1>(state_); }
  const Error& error() const& { return Checked<1>(state_); }

 private:
  template <size_t kIndex, class State>
  static auto& Checked(State& state) {
    auto* held = std::get_if<kIndex>(&state);
    if (held == nullptr) std::abort();
    return *held;
  }

  std::variant<Value, Error> state_;
};

}  // namespace outrigger
