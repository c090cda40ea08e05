// Whether an address is the machine's own.

#pragma once

struct sockaddr;

namespace outrigger::admin {

// 127.0.0.0/8, ::1, or the former mapped into IPv6.
bool IsLoopback(const sockaddr& address);

}  // namespace outrigger::admin
