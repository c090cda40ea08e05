// The epoll set inside a libevent base, as a descriptor that can be watched from outside.
//
// libevent has no call that tells it; the kernel lists what each epoll set of a process watches
// (proc_pid_fdinfo(5), "tfd"). Needs a mounted /proc. Reads a file for each open descriptor: for
// the start of a loop.

#pragma once

namespace outrigger {

// The set that watches `fd`, which no other set does; -1 when there is none to be found.
int FindEpollSetOf(int fd);

}  // namespace outrigger
