// The epoll set inside a libevent base, as a descriptor that can be watched from outside.
//
//   const int set = FindEpollSet(base);   // -1: the base does not wait in one
//
// libevent has no call that tells it. It is found by what it alone knows: a descriptor that was
// given to this base and to no other set can be changed there (EPOLL_CTL_MOD) and nowhere else.
// The base keeps it and closes it. For the start of a loop, on its thread.

#pragma once

#include <event2/event.h>

namespace outrigger {

int FindEpollSet(event_base& base);

}  // namespace outrigger
