// Gives back what only the start needed: pages of code and constants that reading the configuration
// and building the chains has touched, and free heap.
//
// Code and constants are clean pages of files: the kernel may drop them at any time and reads them
// again from its cache when they are used. But it only does so when memory is short on the machine,
// while a sidecar is charged for them from its start. Half of what a fresh process has resident is
// of this kind.

#pragma once

namespace outrigger::server {

// Once, when everything runs. Any thread; what other threads use at the moment comes back by a
// minor page fault. Does nothing in builds with sanitizers, whose shadows it would not find.
void ReleaseStartupPages();

}  // namespace outrigger::server
