#include "proxy/admin/app_probes.h"

#include <arpa/inet.h>
#include <event2/util.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "proxy/admin/check_exchange.h"
#include "proxy/admin/loopback.h"

namespace outrigger::admin {
namespace {

constexpr std::string_view kScheme = "http://";
// After the answer's head; closing at once would reset an app that is still sending its body.
constexpr absl::Duration kLinger = absl::Seconds(1);

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

// The path of a manifest may be any text; a request line takes no spaces and nothing but ASCII.
std::string Encode(std::string_view path) {
  std::string target = path.starts_with('/') ? "" : "/";
  for (const char c : path.substr(0, path.find('#'))) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7f) {
      target += fmt::format("%{:02X}", byte);
    } else {
      target += c;
    }
  }
  return target;
}

// The descriptor, or minus errno.
int Connect(const std::string& text) {
  sockaddr_storage storage{};
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  int size = sizeof(storage);
  if (evutil_parse_sockaddr_port(text.c_str(), address, &size) != 0) return -EINVAL;
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return -errno;
  if (connect(fd, address, static_cast<socklen_t>(size)) == 0 || errno == EINPROGRESS) return fd;
  const int error = errno;
  close(fd);
  return -error;
}

Reply ReplyOf(const CheckResult& result) {
  // A status that no answer may have here, of a switch of protocols for one, is none.
  if (result.status < 200 || result.status > 599) {
    return TextReply(502, fmt::format("the app: {}", result.detail));
  }
  return TextReply(result.status, fmt::format("the app: status {}", result.status));
}

}  // namespace

absl::StatusOr<AppProbe> ParseAppProbe(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return absl::InvalidArgumentError(fmt::format("{}: {}", text, why));
  };
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return refuse("expected NAME=http://127.0.0.1:PORT/PATH");
  }
  std::string_view url = text.substr(equals + 1);
  if (!url.starts_with(kScheme)) return refuse("expected a URL that begins with http://");
  url.remove_prefix(kScheme.size());
  const size_t slash = std::min(url.find('/'), url.size());
  AppProbe probe{.name = std::string(text.substr(0, equals)),
                 .address = std::string(url.substr(0, slash)),
                 .target = Encode(url.substr(slash))};
  sockaddr_storage storage{};
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  int size = sizeof(storage);
  const bool is_address =
      evutil_parse_sockaddr_port(probe.address.c_str(), address, &size) == 0 &&
      reinterpret_cast<const sockaddr_in*>(address)->sin_port != 0;  // at the same place for IPv6
  if (!is_address || !IsLoopback(*address)) {
    return refuse("expected an address on loopback with a port, such as 127.0.0.1:8000");
  }
  return probe;
}

std::string AppProbeFields(const Request& request, std::string_view address) {
  constexpr std::string_view kOfTheConnection[] = {
      "connection", "keep-alive", "proxy-connection", "te",  "trailer",
      "upgrade",    "expect",     "content-length",   "host"};
  std::string fields;
  std::string_view host = address;
  for (const auto& [name, value] : request.fields) {
    const std::string lower = Lower(name);
    if (lower == "host" && !value.empty()) host = value;
    if (std::ranges::find(kOfTheConnection, lower) != std::end(kOfTheConnection)) continue;
    fields += fmt::format("{}: {}\r\n", name, value);
  }
  return fmt::format("Host: {}\r\n{}", host, fields);
}

class AppProbes::Question {
 public:
  Question(AppProbes& owner, uint64_t client, CompleteFunction complete)
      : owner_(owner),
        client_(client),
        complete_(std::move(complete)),
        timer_(owner.loop_.NewTimer(OnTimer, this)) {}

  uint64_t client() const { return client_; }
  bool is_answered() const { return complete_ == nullptr; }

  void Begin(int fd, const CheckQuestion& question) {
    Arm(owner_.patience_);
    exchange_ = std::make_unique<CheckExchange>(
        owner_.loop_.base(), fd, nullptr, question, [] { return std::string(); },
        [this](const CheckResult& result) {
          std::exchange(complete_, nullptr)(ReplyOf(result));
          Arm(kLinger);
        });
  }

 private:
  static void OnTimer(evutil_socket_t, short, void* self) {
    auto& question = *static_cast<Question*>(self);
    if (question.complete_ != nullptr) {
      std::exchange(question.complete_, nullptr)(
          TextReply(504, fmt::format("the app: no answer in {}",
                                     absl::FormatDuration(question.owner_.patience_))));
    }
    question.owner_.Erase(question);
  }

  void Arm(absl::Duration time) {
    const timeval delay = ToDelay(time);
    evtimer_add(timer_.get(), &delay);
  }

  AppProbes& owner_;
  const uint64_t client_;
  CompleteFunction complete_;  // null once called
  EventPtr timer_;
  std::unique_ptr<CheckExchange> exchange_;
};

AppProbes::AppProbes(Loop& loop, std::vector<AppProbe> probes, absl::Duration patience)
    : loop_(loop), probes_(std::move(probes)), patience_(patience) {}

AppProbes::~AppProbes() = default;

std::optional<Reply> AppProbes::Ask(std::string_view name, const Request& request,
                                    const std::function<CompleteFunction()>& make_complete) {
  const auto probe = std::ranges::find(probes_, name, &AppProbe::name);
  if (probe == probes_.end()) return TextReply(404, fmt::format("no probe {}", name));
  if (!MakeRoom()) return TextReply(503, "too many probes wait for the app already");
  const int fd = Connect(probe->address);
  if (fd < 0) {
    return TextReply(502, fmt::format("the app: {}: {}", probe->address, strerror(-fd)));
  }
  questions_.push_back(std::make_unique<Question>(*this, request.client, make_complete()));
  questions_.back()->Begin(fd, {.path = probe->target,
                                .authority = probe->address,
                                .fields = AppProbeFields(request, probe->address)});
  return std::nullopt;
}

void AppProbes::OnClientLeft(uint64_t client) {
  questions_.remove_if([client](const auto& question) {
    return question->client() == client && !question->is_answered();
  });
}

// One that only lingers gives way.
bool AppProbes::MakeRoom() {
  if (questions_.size() < kMaxAsking) return true;
  const auto answered = std::ranges::find_if(
      questions_, [](const auto& question) { return question->is_answered(); });
  if (answered == questions_.end()) return false;
  questions_.erase(answered);
  return true;
}

void AppProbes::Erase(const Question& question) {
  questions_.remove_if([&](const auto& each) { return each.get() == &question; });
}

}  // namespace outrigger::admin
