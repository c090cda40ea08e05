// What a read or a write on a non-blocking connection came to.

#pragma once

#include <cstddef>
#include <cstdint>

namespace outrigger::net {

enum class IoStatus : uint8_t { kOk, kAgain, kEnd, kError };

struct IoResult {
  IoStatus status = IoStatus::kOk;
  size_t bytes = 0;
  int error = 0;  // errno of kError
};

}  // namespace outrigger::net
