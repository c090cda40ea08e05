// docs/metrics.md, written from the descriptors so that the page cannot disagree with the program.
//
//   std::string page = MetricsReference();

#pragma once

#include <string>

namespace outrigger::metrics {

std::string MetricsReference();

}  // namespace outrigger::metrics
