// What is known of the configuration in use and of the latest attempt to change it.
//
//   ConfigStatus status(config, absl::Now());
//   status.SetFailed({"outrigger.yaml:3:5: workers: ..."});     // the main thread
//   status.view().is_last_successful                            // any thread
//
// Thread-safe: one mutex, held for a copy.

#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "proxy/config/config.h"

namespace outrigger::server {

class ConfigStatus {
 public:
  struct View {
    std::shared_ptr<const config::Config> config;  // in use
    uint64_t generation = 1;                       // counted from 1 at start
    absl::Time loaded_at;
    bool is_last_successful = true;     // the latest attempt
    std::vector<std::string> problems;  // of the latest attempt
  };

  ConfigStatus(std::shared_ptr<const config::Config> config, absl::Time now) {
    view_.config = std::move(config);
    view_.loaded_at = now;
  }

  void SetLoaded(std::shared_ptr<const config::Config> config, absl::Time now) {
    const std::lock_guard lock(mutex_);
    view_ = {std::move(config), view_.generation + 1, now, true, {}};
  }
  void SetFailed(std::vector<std::string> problems) {
    const std::lock_guard lock(mutex_);
    view_.is_last_successful = false;
    view_.problems = std::move(problems);
  }
  View view() const {
    const std::lock_guard lock(mutex_);
    return view_;
  }

 private:
  mutable std::mutex mutex_;
  View view_;  // guarded by mutex_
};

}  // namespace outrigger::server
