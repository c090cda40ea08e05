// A seeded source of randomness, injected so that tests can repeat a run from its printed seed.
//
// Not safe between threads: one per worker. Not for secrets.

#pragma once

#include <cstdint>
#include <random>

namespace outrigger {

class Random {
 public:
  explicit Random(uint64_t seed) : engine_(seed) {}

  uint64_t Next() { return engine_(); }
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
  std::mt19937_64 engine_;
};

}  // namespace outrigger
