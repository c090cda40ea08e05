// What an errno of socket() and connect() says, and about whom. Pure.

#pragma once

#include <cerrno>
#include <string_view>

namespace outrigger::upstream {

inline constexpr std::string_view kShortage =
    "the proxy has no file descriptor or memory for a connection";

// Says nothing about the service, which must not be blamed for it.
inline bool IsOwnShortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOMEM || error == ENOBUFS;
}

}  // namespace outrigger::upstream
