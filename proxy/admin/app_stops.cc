#include "proxy/admin/app_stops.h"

#include <fmt/format.h>

#include <charconv>
#include <utility>

#include "absl/time/time.h"

namespace outrigger::admin {
namespace {

// Nothing unless it is a number of seconds that may be waited.
std::optional<int> ParseSeconds(std::string_view text) {
  int seconds = 0;
  const char* end = text.data() + text.size();
  const auto [parsed, error] = std::from_chars(text.data(), end, seconds);
  if (error != std::errc() || parsed != end) return std::nullopt;
  if (seconds < 0 || seconds > AppStops::kMaxSeconds) return std::nullopt;
  return seconds;
}

}  // namespace

class AppStops::Hook {
 public:
  Hook(AppStops& owner, uint64_t client, CompleteFunction complete)
      : owner_(owner),
        client_(client),
        complete_(std::move(complete)),
        timer_(owner.loop_.NewTimer(OnTimer, this)) {}

  uint64_t client() const { return client_; }

  void Begin(absl::Duration time) {
    const timeval delay = ToDelay(time);
    evtimer_add(timer_.get(), &delay);
  }
  void Answer() const { complete_(TextReply(200, "the app may stop")); }

 private:
  static void OnTimer(evutil_socket_t, short, void* self) {
    auto& hook = *static_cast<Hook*>(self);
    hook.Answer();
    hook.owner_.Erase(hook);
  }

  AppStops& owner_;
  const uint64_t client_;
  const CompleteFunction complete_;
  EventPtr timer_;
};

AppStops::AppStops(Loop& loop) : loop_(loop) {}

AppStops::~AppStops() = default;

std::optional<Reply> AppStops::Ask(std::string_view seconds, const Request& request,
                                   const std::function<CompleteFunction()>& make_complete) {
  const std::optional<int> parsed = ParseSeconds(seconds);
  if (!parsed.has_value()) {
    return TextReply(400, fmt::format("expected a number of seconds up to {}", kMaxSeconds));
  }
  if (hooks_.size() >= kMaxWaiting) return TextReply(503, "too many wait already");
  hooks_.push_back(std::make_unique<Hook>(*this, request.client, make_complete()));
  hooks_.back()->Begin(absl::Seconds(*parsed));
  return std::nullopt;
}

void AppStops::OnClientLeft(uint64_t client) {
  hooks_.remove_if([client](const auto& hook) { return hook->client() == client; });
}

void AppStops::AnswerAll() {
  for (const auto& hook : hooks_) hook->Answer();
  hooks_.clear();
}

void AppStops::Erase(const Hook& hook) {
  hooks_.remove_if([&](const auto& each) { return each.get() == &hook; });
}

}  // namespace outrigger::admin
