// The inference probe as AppChecker makes it (HL-5), against a service on loopback that the test
// tells how to answer.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "proxy/admin/app_check.h"
#include "tests/proxy/admin/sockets.h"

namespace outrigger::admin {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kOk[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
constexpr char kLoading[] = "HTTP/1.1 503 Loading\r\nContent-Length: 0\r\n\r\n";
constexpr char kCut[] = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok";

// Answers /models and /infer, each with what is set for it; empty: never. A thread for each
// connection, so that one that hangs holds nothing up.
class Service {
 public:
  Service() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = LoopbackAddress(0);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 64), 0);
    socklen_t size = sizeof(address);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    endpoint_ = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    threads_.emplace_back([this] { Accept(); });
  }
  ~Service() {
    shutdown(listener_, SHUT_RDWR);
    threads_.front().join();
    for (auto thread = std::next(threads_.begin()); thread != threads_.end(); ++thread) {
      thread->join();
    }
    close(listener_);
  }

  void SetModels(std::string answer) { Set(models_, std::move(answer)); }
  void SetInfer(std::string answer) { Set(infer_, std::move(answer)); }
  const std::string& endpoint() const { return endpoint_; }
  int checks() const { return checks_; }
  int inferences() const { return inferences_; }
  int open_inferences() const { return open_inferences_; }
  int most_open_inferences() const { return most_open_inferences_; }

 private:
  void Set(std::string& which, std::string answer) {
    const std::lock_guard lock(mutex_);
    which = std::move(answer);
  }

  void Accept() {
    for (int fd; (fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
      threads_.emplace_back([this, fd] { Serve(fd); });
    }
  }

  void Serve(int fd) {
    std::string head;
    for (char c; !head.ends_with("\r\n\r\n") && recv(fd, &c, 1, 0) == 1;) head += c;
    const bool is_inference = head.starts_with("POST /infer ");
    std::string answer;
    {
      const std::lock_guard lock(mutex_);
      answer = is_inference ? infer_ : models_;
    }
    if (is_inference) {
      ++inferences_;
      most_open_inferences_ = std::max(most_open_inferences_.load(), ++open_inferences_);
    } else {
      ++checks_;
    }
    if (!answer.empty()) {
      send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
      shutdown(fd, SHUT_WR);
    }
    for (char c; recv(fd, &c, 1, 0) == 1;) {
    }
    if (is_inference) --open_inferences_;
    close(fd);
  }

  const int listener_;
  std::string endpoint_;
  std::mutex mutex_;  // guards the answers
  std::string models_ = kOk;
  std::string infer_ = kOk;
  std::atomic<int> checks_{0};
  std::atomic<int> inferences_{0};
  std::atomic<int> open_inferences_{0};
  std::atomic<int> most_open_inferences_{0};
  std::list<std::thread> threads_;
};

struct Probed {
  explicit Probed(absl::Duration timeout = absl::Seconds(20))
      : checker(
            loop,
            {.name = "app",
             .endpoint = service.endpoint(),
             .path = "/models",
             .interval = absl::Milliseconds(5),
             .timeout = absl::Seconds(20),
             .inference = InferenceProbe{.path = "/infer",
                                         .content_type = "application/json",
                                         .body = "{}",
                                         .timeout = timeout}},
            health, [this](const AppHealth&) { ++changes; },
            [this](const AppHealth&, const CheckResult& result) {
              results.push_back(result.detail);
            }) {}

  void RunUntil(const std::function<bool()>& condition) {
    while (!condition()) event_base_loop(loop.base(), EVLOOP_ONCE);
  }
  void RunForChecks(int count) {
    const int end = service.checks() + count;
    RunUntil([&] { return service.checks() >= end; });
  }

  Service service;
  Loop loop;
  int changes = 0;
  std::vector<std::string> results;
  std::shared_ptr<AppHealth> health = std::make_shared<AppHealth>(
      "app", AppHealth::Policy{.unhealthy_after = 2, .needs_inference = true});
  AppChecker checker;
};

TEST(InferenceProbe, IsRepeatedUntilItPassesAndThenNoMore) {
  Probed probed;
  probed.service.SetInfer(kLoading);
  probed.RunUntil([&] { return probed.service.inferences() >= 3; });
  EXPECT_FALSE(probed.health->is_healthy());
  EXPECT_THAT(probed.health->Problem(),
              HasSubstr("the inference probe has not passed: status 503"));
  EXPECT_EQ(probed.changes, 0);
  probed.service.SetInfer(kOk);
  probed.RunUntil([&] { return probed.health->is_healthy(); });
  const int inferences = probed.service.inferences();
  EXPECT_EQ(probed.health->inferences_failed(), static_cast<uint64_t>(inferences - 1));
  probed.RunForChecks(10);
  EXPECT_EQ(probed.service.inferences(), inferences) << "latched";
  EXPECT_EQ(probed.changes, 1);
  // Told when it changes, not each time.
  EXPECT_THAT(probed.results, ElementsAre("status 503", ""));
}

TEST(InferenceProbe, FailsWithAnAnswerThatIsCut) {
  Probed probed;
  probed.service.SetInfer(kCut);
  probed.RunUntil([&] { return probed.health->inferences_failed() == 2; });
  EXPECT_FALSE(probed.health->is_healthy());
  EXPECT_THAT(probed.results, ElementsAre("closed within the answer"));
}

TEST(InferenceProbe, IsOneAtATimeWhileTheChecksGoOn) {
  Probed probed;
  probed.service.SetInfer("");
  probed.RunForChecks(20);
  EXPECT_EQ(probed.service.inferences(), 1);
  EXPECT_EQ(probed.service.open_inferences(), 1);
  EXPECT_FALSE(probed.health->is_healthy());
  EXPECT_EQ(probed.health->Problem(), "the inference probe has not passed yet");
}

TEST(InferenceProbe, IsRepeatedAfterItsTimeout) {
  Probed probed(absl::Milliseconds(20));
  probed.service.SetInfer("");
  probed.RunUntil([&] { return probed.health->inferences_failed() == 3; });
  EXPECT_EQ(probed.results.at(0), "no answer in 20ms");
  probed.service.SetInfer(kOk);
  probed.RunUntil([&] { return probed.health->is_healthy(); });
}

TEST(InferenceProbe, IsGivenUpWhenTheChecksFailAndNeededAgainAfterwards) {
  Probed probed;
  probed.service.SetInfer("");
  probed.RunUntil([&] { return probed.service.open_inferences() == 1; });
  probed.service.SetModels(kLoading);
  probed.RunUntil([&] { return probed.service.open_inferences() == 0; });
  EXPECT_FALSE(probed.health->is_up());
  EXPECT_EQ(probed.health->inferences_failed(), 0u);
  const int inferences = probed.service.inferences();
  probed.RunForChecks(5);
  EXPECT_EQ(probed.service.inferences(), inferences) << "of a service that is down";

  probed.service.SetInfer(kOk);
  probed.service.SetModels(kOk);
  probed.RunUntil([&] { return probed.health->is_healthy(); });
  EXPECT_EQ(probed.service.inferences(), inferences + 1);
  probed.service.SetModels(kLoading);
  probed.RunUntil([&] { return !probed.health->is_healthy(); });
  probed.service.SetModels(kOk);
  probed.RunUntil([&] { return probed.health->is_healthy(); });
  EXPECT_EQ(probed.service.inferences(), inferences + 2) << "the latch was lifted";
  EXPECT_EQ(probed.service.most_open_inferences(), 1);
}

TEST(InferenceProbe, MayBeDestroyedAtAnyPoint) {
  for (int turns = 0; turns < 12; ++turns) {
    Probed probed;
    probed.service.SetInfer(turns % 2 == 0 ? kOk : "");
    for (int i = 0; i < turns; ++i) event_base_loop(probed.loop.base(), EVLOOP_ONCE);
  }
}

}  // namespace
}  // namespace outrigger::admin
