#include "proxy/server/config_reloader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>
#include <utility>

#include "nlohmann/json.hpp"
#include "tests/support/fake_loop.h"

namespace outrigger::server {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr absl::Duration kQuiet = absl::Milliseconds(100);

class ConfigReloaderTest : public testing::Test {
 protected:
  ConfigReloaderTest() {
    char name[] = "/tmp/config-reloader-XXXXXX";
    folder_ = mkdtemp(name);
    Write("memory_budget: 1MiB");
  }
  ~ConfigReloaderTest() override {
    std::remove(file().c_str());
    rmdir(folder_.c_str());
    std::fclose(log_file_);
  }

  std::string file() const { return folder_ + "/outrigger.yaml"; }
  // A new file each time, as a rename would make it.
  void Write(const std::string& text) {
    const std::string temporary = file() + ".new";
    std::ofstream(temporary) << text;
    std::rename(temporary.c_str(), file().c_str());
  }

  void Start(config::Source source) {
    const FileStamp stamp = FileStamp::Of(source.file);
    Expected<config::Config, config::ConfigErrors> loaded = config::Load(source);
    ASSERT_TRUE(loaded.ok()) << loaded.error().ToString();
    status_.emplace(std::make_shared<const config::Config>(std::move(loaded).value()),
                    loop_.WallNow());
    reloader_.emplace(
        loop_, ConfigReloader::Parts{.origin = {std::move(source), stamp},
                                     .status = *status_,
                                     .log = logs_.shared(),
                                     .take_over = [this](const auto&, std::function<void()> done) {
                                       ++attempts_;
                                       if (!refusal_.ok()) return refusal_;
                                       done_ = std::move(done);
                                       if (!is_slow_) std::exchange(done_, nullptr)();
                                       return absl::OkStatus();
                                     }});
  }
  void Start() { Start({.file = file()}); }
  // As the watch does: twice a second, and when there was an event.
  void Run(absl::Duration duration) {
    const MonoTime end = loop_.Now() + duration;
    for (reloader_->Look(); loop_.Now() < end; reloader_->Look()) {
      loop_.Advance(absl::Milliseconds(500));
    }
  }
  size_t MemoryBudget() const { return status_->view().config->memory_budget.value_or(0) >> 20; }
  std::vector<nlohmann::json> Events(const std::string& name) {
    logs_.Flush(absl::Seconds(10));
    std::rewind(log_file_);
    std::vector<nlohmann::json> events;
    for (char line[4096]; std::fgets(line, sizeof line, log_file_) != nullptr;) {
      nlohmann::json event = nlohmann::json::parse(line);
      if (event["event"] == name) events.push_back(std::move(event));
    }
    return events;
  }

  FakeLoop loop_;
  std::string folder_;
  std::FILE* const log_file_ = std::tmpfile();
  log::LogService logs_{{.fd = fileno(log_file_)}};
  std::optional<ConfigStatus> status_;
  absl::Status refusal_;
  bool is_slow_ = false;
  std::function<void()> done_;
  int attempts_ = 0;
  std::optional<ConfigReloader> reloader_;
};

using ConfigReloader_ = ConfigReloaderTest;

TEST_F(ConfigReloader_, LoadsAFileThatHasChangedAndNoOther) {
  Start();
  Run(absl::Seconds(5));
  EXPECT_EQ(attempts_, 0);
  Write("memory_budget: 2MiB");
  reloader_->Look();
  EXPECT_EQ(attempts_, 0) << "it may still be written";
  loop_.Advance(kQuiet);
  EXPECT_EQ(attempts_, 1);
  EXPECT_EQ(MemoryBudget(), 2u);
  EXPECT_EQ(status_->view().generation, 2u);
  EXPECT_EQ(status_->view().loaded_at, loop_.WallNow());
  Run(absl::Seconds(5));
  EXPECT_EQ(attempts_, 1);
  EXPECT_THAT(Events("config_reloaded"), SizeIs(1));
}

TEST_F(ConfigReloader_, WaitsUntilAFileIsLeftAlone) {
  Start();
  for (int i = 2; i < 9; ++i) {
    Write("memory_budget: " + std::to_string(i) + "MiB");
    reloader_->Look();
    loop_.Advance(kQuiet - absl::Milliseconds(1));
  }
  EXPECT_EQ(attempts_, 0);
  loop_.Advance(kQuiet);
  EXPECT_EQ(attempts_, 1);
  EXPECT_EQ(MemoryBudget(), 8u);
}

TEST_F(ConfigReloader_, KeepsTheLastGoodOneAndSaysEveryErrorWithItsPlace) {
  Start();
  Write("memory_budget: 2MiB\nworkers: none\nfrob: 1\n");
  Run(absl::Seconds(1));
  EXPECT_EQ(attempts_, 0);
  EXPECT_EQ(MemoryBudget(), 1u);
  const ConfigStatus::View view = status_->view();
  EXPECT_FALSE(view.is_last_successful);
  EXPECT_EQ(view.generation, 1u);
  EXPECT_THAT(view.problems, ElementsAre(HasSubstr(":2:10: workers"), HasSubstr(":3:1: frob")));
  const std::vector<nlohmann::json> events = Events("config_refused");
  ASSERT_THAT(events, SizeIs(2));
  EXPECT_EQ(events[0]["key"], "workers");
  EXPECT_EQ(events[0]["line"], 2);
  EXPECT_EQ(events[0]["column"], 10);
  Run(absl::Minutes(1));
  EXPECT_THAT(Events("config_refused"), SizeIs(2)) << "a bad file is read once";
  Write("memory_budget: 3MiB");
  Run(absl::Seconds(1));
  EXPECT_TRUE(status_->view().is_last_successful);
  EXPECT_THAT(status_->view().problems, IsEmpty());
  EXPECT_EQ(MemoryBudget(), 3u);
}

TEST_F(ConfigReloader_, RefusesWhatNeedsARestart) {
  Start();
  Write("memory_budget: 2MiB\nworkers: 7\n");
  Run(absl::Seconds(1));
  EXPECT_THAT(status_->view().problems,
              ElementsAre(HasSubstr(":2:10: workers: a change from 1 to 7 needs a restart")));
  EXPECT_EQ(MemoryBudget(), 1u);
}

TEST_F(ConfigReloader_, TriesAgainWhatOnlyTheOutsideRefuses) {
  Start();
  refusal_ = absl::UnavailableError("port taken");
  Write("memory_budget: 2MiB");
  Run(absl::Seconds(61));
  EXPECT_GT(attempts_, 10);
  EXPECT_LT(attempts_, 20);
  EXPECT_THAT(status_->view().problems, ElementsAre(HasSubstr("port taken")));
  EXPECT_THAT(Events("config_refused"), SizeIs(1)) << "said once";
  refusal_ = absl::OkStatus();
  Run(absl::Seconds(6));
  EXPECT_EQ(MemoryBudget(), 2u);
  const int attempts = attempts_;
  Run(absl::Minutes(1));
  EXPECT_EQ(attempts_, attempts);
}

TEST_F(ConfigReloader_, ChangeDuringATakeOverComesAfterIt) {
  Start();
  is_slow_ = true;
  Write("memory_budget: 2MiB");
  Run(absl::Seconds(1));
  Write("memory_budget: 3MiB");
  Run(absl::Seconds(1));
  reloader_->OnSignal();
  EXPECT_EQ(attempts_, 1);
  EXPECT_EQ(MemoryBudget(), 1u);
  std::exchange(done_, nullptr)();
  EXPECT_EQ(attempts_, 2);
  std::exchange(done_, nullptr)();
  EXPECT_EQ(MemoryBudget(), 3u);
  EXPECT_EQ(status_->view().generation, 3u);
}

TEST_F(ConfigReloader_, FileThatIsGoneOrEmptyChangesNothing) {
  Start();
  std::remove(file().c_str());
  Run(absl::Seconds(1));
  EXPECT_THAT(status_->view().problems, ElementsAre(HasSubstr("the file is gone")));
  Write("");
  Run(absl::Seconds(1));
  EXPECT_THAT(status_->view().problems, ElementsAre(HasSubstr("the file is empty")));
  EXPECT_EQ(attempts_, 0);
  Write("{}");
  Run(absl::Seconds(1));
  EXPECT_EQ(attempts_, 1);
}

TEST_F(ConfigReloader_, OptionalFileThatComesLaterIsAReload) {
  std::remove(file().c_str());
  Start({.file = file(), .upstream = "127.0.0.1:9", .is_file_optional = true});
  Run(absl::Seconds(1));
  EXPECT_EQ(attempts_, 0);
  reloader_->OnSignal();
  EXPECT_EQ(attempts_, 1) << "the defaults again";
  Write("memory_budget: 2MiB");
  Run(absl::Seconds(1));
  EXPECT_EQ(MemoryBudget(), 2u);
  EXPECT_EQ(status_->view().config->upstreams[0].endpoints[0].port, 9);
  std::remove(file().c_str());
  Run(absl::Seconds(1));
  EXPECT_EQ(MemoryBudget(), 2u);
  EXPECT_FALSE(status_->view().is_last_successful);
}

TEST_F(ConfigReloader_, SignalReadsAFileThatHasNotChanged) {
  Start();
  reloader_->OnSignal();
  EXPECT_EQ(status_->view().generation, 2u);
  EXPECT_EQ(Events("config_reloaded").at(0)["why"], "signal");
}

TEST_F(ConfigReloader_, SignalWithoutAFileOrInADrainIsHarmless) {
  Start({.upstream = "127.0.0.1:9"});
  reloader_->OnSignal();
  Run(absl::Seconds(1));
  reloader_.reset();
  Start();
  reloader_->Stop();
  Write("memory_budget: 2MiB");
  reloader_->OnSignal();
  Run(absl::Seconds(1));
  EXPECT_EQ(attempts_, 0);
  EXPECT_THAT(Events("config_reload_ignored"), SizeIs(2));
}

}  // namespace
}  // namespace outrigger::server
