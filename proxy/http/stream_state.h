// What is known about a response that is an event stream, kept up to date by the commit gate as
// bytes pass (filters/common/commit_gate.h) and read by the filters and the driver around it.

#pragma once

#include <cstdint>

#include "proxy/base/time.h"

namespace outrigger::http {

struct StreamState {
  // Events that carry an answer, not pings or preambles (semantics TO-5).
  uint64_t content_events = 0;
  MonoTime first_content;  // set with the first content event; precise clock
  bool has_terminal = false;
  // An event of our own may be appended here.
  bool is_at_event_boundary = true;
  // Set with the last chunk: the stream ended as its grammar says (ID-8).
  bool is_complete = false;
  bool has_error_event = false;
  // The status that the error event stands for, for example 529; 0 without one.
  int error_status = 0;
};

}  // namespace outrigger::http
