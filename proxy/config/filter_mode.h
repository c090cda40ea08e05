// Whether a filter acts, only reports what it would do, or does nothing (semantics CF-5).

#pragma once

namespace outrigger::config {

enum class FilterMode { kEnforce, kShadow, kDisabled };

}  // namespace outrigger::config
