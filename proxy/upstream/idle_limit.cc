#include "proxy/upstream/idle_limit.h"

#include <algorithm>
#include <charconv>

#include "proxy/http/headers.h"

namespace outrigger::upstream {
namespace {

// Closes nearer to each other than this are one event on the server's side.
constexpr absl::Duration kIsolation = absl::Milliseconds(200);
// Shorter idle times show a server that does not keep connections, or a restart.
constexpr absl::Duration kShortestSample = absl::Seconds(1);
// The request must arrive before the server's timer fires.
constexpr absl::Duration kMargin = absl::Milliseconds(500);

}  // namespace

void IdleLimit::Set(absl::Duration server_timeout) {
  value_ = std::max(kFloor, server_timeout - std::max(kMargin, server_timeout / 10));
}

void IdleLimit::OnIdleClose(absl::Duration idle_for, MonoTime now) {
  const bool is_isolated = last_close_ == MonoTime() || now - last_close_ >= kIsolation;
  last_close_ = now;
  if (!is_isolated) {
    candidate_ = absl::ZeroDuration();
    return;
  }
  if (candidate_ >= kShortestSample) {
    samples_[sample_count_++] = candidate_;
    if (sample_count_ == kSamples) {
      sample_count_ = 0;
      Set(*std::min_element(samples_.begin(), samples_.end()));
    }
  }
  candidate_ = idle_for;
}

void IdleLimit::OnKeepAliveHeader(std::string_view value) {
  constexpr std::string_view kTimeout = "timeout=";
  while (!value.empty()) {
    const size_t comma = value.find(',');
    const std::string_view parameter = http::TrimOws(value.substr(0, comma));
    if (parameter.size() > kTimeout.size() &&
        http::EqualsIgnoreCase(parameter.substr(0, kTimeout.size()), kTimeout)) {
      const std::string_view digits = parameter.substr(kTimeout.size());
      unsigned seconds = 0;
      const auto [end, error] =
          std::from_chars(digits.data(), digits.data() + digits.size(), seconds);
      if (error == std::errc() && end == digits.data() + digits.size() && seconds > 0) {
        Set(absl::Seconds(std::min(seconds, 3600u)));
      }
    }
    if (comma == std::string_view::npos) return;
    value.remove_prefix(comma + 1);
  }
}

}  // namespace outrigger::upstream
