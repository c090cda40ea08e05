// A seeded source of randomness, injected so that tests can repeat a run from its printed seed.
//
// SplitMix64 (Steele, Lea, Flood 2014): one word of state, since every request draws some ids and
// the state would have to be fetched each time. Not safe between threads: one per worker. Not for
// secrets.

#pragma once

#include <cstdint>

namespace outrigger {

class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() {
    uint64_t number = state_ += 0x9E3779B97F4A7C15;
    number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9;
    number = (number ^ (number >> 27)) * 0x94D049BB133111EB;
    return number ^ (number >> 31);
  }
  // In [0, 1).
  double Uniform() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }
  // In [low, high); `low` when the interval is empty.
  double Uniform(double low, double high) {
    const double number = low + (high - low) * Uniform();
    return number < high ? number : low;  // rounding may have reached `high`
  }
  // In [0, bound). REQUIRES: bound > 0.
  uint64_t Below(uint64_t bound) { return Next() % bound; }

 private:
  uint64_t state_;
};

}  // namespace outrigger
