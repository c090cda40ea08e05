#include "tools/bench/sse_load.h"

#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <vector>

#include "tools/bench/message_reader.h"
#include "tools/bench/sse_event.h"

namespace outrigger::bench {
namespace {

struct Stream {
  Socket socket;
  std::string body;
  MessageReader reader{MessageReader::Kind::kResponse, &body};
  SseReader events;
  uint64_t next_sequence = 0;
};

class SseLoad {
 public:
  SseLoad(const SseLoadOptions& options, const CpuAccount& account)
      : options_(options), account_(account), buffer_(256 * 1024) {}

  SseLoadResult Run() {
    Open();
    last_event_ns_ = NowNanos();
    while (running_ > 0 && !StopRequested()) {
      for (const epoll_event& event : epoll_.Wait(options_.patience_ns)) {
        OnReadable(*static_cast<Stream*>(event.data.ptr));
      }
      if (NowNanos() - last_event_ns_ > options_.patience_ns) break;
    }
    CloseWindow();
    result_.errors += running_;
    result_.lost += options_.streams * options_.events - in_order_;
    return result_;
  }

 private:
  void Open() {
    RequestTemplate request(options_.request);
    for (uint64_t i = 0; i < options_.streams; ++i) {
      auto stream = std::make_unique<Stream>();
      stream->socket = ConnectNow(options_.target);
      if (!stream->socket.is_open()) Die("cannot connect to " + ToString(options_.target));
      const std::string_view bytes = request.Next();
      if (send(stream->socket.fd(), bytes.data(), bytes.size(), 0) !=
          static_cast<ssize_t>(bytes.size())) {
        Die("cannot send a whole request");
      }
      epoll_.Add(stream->socket.fd(), EPOLLIN, stream.get());
      streams_.push_back(std::move(stream));
    }
    running_ = options_.streams;
  }

  void OnReadable(Stream& stream) {
    const ssize_t got = recv(stream.socket.fd(), buffer_.data(), buffer_.size(), 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return End(stream, got == 0 && stream.reader.FinishAtClose());
    const int64_t now = NowNanos();
    last_event_ns_ = now;
    if (stream.reader.Feed({buffer_.data(), static_cast<size_t>(got)}) < 0)
      return End(stream, false);
    stream.events.Feed(stream.body, [&](const SseEvent& event) { OnEvent(stream, event, now); });
    stream.body.clear();
    if (stream.reader.is_done()) End(stream, true);
  }

  void OnEvent(Stream& stream, const SseEvent& event, int64_t now) {
    ++result_.total_events;
    if (window_ == Window::kOpen) {
      ++result_.events;
      result_.delay.Record(now - event.sent_ns);
    }
    if (event.sequence == stream.next_sequence) ++in_order_;
    if (stream.next_sequence == 0 && ++started_ == options_.streams) OpenWindow();
    stream.next_sequence = event.sequence + 1;
    if (stream.next_sequence == options_.events) CloseWindow();
  }

  void OpenWindow() {
    if (window_ != Window::kBefore) return;
    window_ = Window::kOpen;
    window_start_ns_ = NowNanos();
    cpu_start_ns_ = account_.Nanos();
  }

  void CloseWindow() {
    if (window_ == Window::kOpen) {
      result_.window_ns = NowNanos() - window_start_ns_;
      result_.cpu_ns = account_.Nanos() - cpu_start_ns_;
    }
    window_ = Window::kAfter;
  }

  void End(Stream& stream, bool is_whole) {
    if (stream.reader.has_head() && stream.reader.status() / 100 != 2) ++result_.non_2xx;
    if (!is_whole || !stream.events.is_done()) ++result_.errors;
    stream.socket.Close();
    --running_;
  }

  enum class Window { kBefore, kOpen, kAfter };

  const SseLoadOptions options_;
  const CpuAccount& account_;
  Epoll epoll_;
  std::vector<char> buffer_;
  std::vector<std::unique_ptr<Stream>> streams_;
  SseLoadResult result_;
  Window window_ = Window::kBefore;
  int64_t window_start_ns_ = 0;
  int64_t cpu_start_ns_ = 0;
  int64_t last_event_ns_ = 0;
  uint64_t running_ = 0;
  uint64_t started_ = 0;
  uint64_t in_order_ = 0;
};

}  // namespace

SseLoadResult RunSseLoad(const SseLoadOptions& options, const CpuAccount& account) {
  return SseLoad(options, account).Run();
}

}  // namespace outrigger::bench
