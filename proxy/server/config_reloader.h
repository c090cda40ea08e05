// Loads the configuration again when its file has changed or when it is asked to (CF-4).
//
//   ConfigReloader reloader(main_loop, {.origin = origin, .status = status, .log = log,
//                                       .take_over = ...});
//   reloader.Look();            // often: has the file changed?
//   reloader.OnSignal();        // SIGHUP: whether it has or not
//   reloader.Stop();            // a drain has begun
//
// A file counts as changed when its stamp differs from the one that was read last and has been the
// same for a tenth of a second, so that what is just being written is not read. What cannot be used
// changes nothing: each error is a line of the log, and all are in the status until a configuration
// was loaded. When the file itself is good (a certificate is missing, a port is taken) it is tried
// again every few seconds, because nobody would tell when that has changed.
//
// A file that is gone, or empty after it was not, leaves the last configuration in use: both are
// more often a mistake or an intermediate state than the wish for the defaults.
//
// The main thread.

#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "proxy/base/file_stamp.h"
#include "proxy/config/config.h"
#include "proxy/event/loop.h"
#include "proxy/log/logger.h"
#include "proxy/server/config_status.h"

namespace outrigger::server {

// Where the configuration in use was read from.
struct ConfigOrigin {
  config::Source source;
  FileStamp stamp;  // of the file, from before it was read
};

class ConfigReloader final : private Timer {
 public:
  // Makes all workers use `next`. An error: nothing has changed, and `done` is not called. Else
  // `done` is called once, from the loop, when they do.
  using TakeOver = std::function<absl::Status(const std::shared_ptr<const config::Config>& next,
                                              std::function<void()> done)>;
  struct Parts {
    ConfigOrigin origin;
    ConfigStatus& status;
    log::Logger& log;
    TakeOver take_over;
  };

  ConfigReloader(Loop& loop, Parts parts);

  void Look();
  void OnSignal();
  void Stop();

 private:
  void OnTimer() override;
  void Reload(std::string_view why);
  void OnTakenOver(const std::shared_ptr<const config::Config>& config, std::string_view why);
  // Whether the file may be read: nothing, or what is in the way.
  std::optional<std::string> Obstacle() const;
  void Fail(const config::ConfigErrors& errors);
  void Refuse(std::string problem);

  const Parts parts_;
  FileStamp acted_on_;
  std::optional<FileStamp> seen_;  // differs from acted_on_
  MonoTime seen_at_;
  MonoTime retry_at_ = MonoTime::Infinite();
  std::string refusal_;  // that was logged, of the state that is tried again
  bool had_file_;
  bool had_content_;
  bool is_taking_over_ = false;
  bool is_wanted_ = false;  // once more, when that is done
  bool is_stopped_ = false;
};

}  // namespace outrigger::server
