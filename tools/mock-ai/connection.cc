#include "tools/mock-ai/connection.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "fmt/format.h"
#include "tools/mock-ai/wire.h"

namespace outrigger::mock_ai {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
constexpr size_t kMaxInput = 1024 * 1024;  // of pipelined requests, before reading stops
constexpr size_t kHighWater = 256 * 1024;  // of output, before steps wait
constexpr absl::Duration kLinger = absl::Seconds(2);
constexpr std::string_view kGarbage = "\x16\x03\x01\x02\xff this is not HTTP\r\n\r\n";
constexpr std::string_view kPingEvent = ": ping\n\n";

timeval WaitTime(absl::Duration delay) {
  return absl::ToTimeval(std::max(delay, absl::ZeroDuration()));
}

}  // namespace

Connection::Connection(event_base* base, int fd, Origin origin, const ConnectionOptions& options,
                       Service& service, ConnectionHost& host)
    : fd_(fd),
      origin_(origin),
      options_(options),
      service_(service),
      host_(host),
      readable_(event_new(base, fd, EV_READ | EV_PERSIST, OnReadable, this)),
      writable_(event_new(base, fd, EV_WRITE, OnWritable, this)),
      timer_(event_new(base, -1, 0, OnTimer, this)),
      pace_timer_(event_new(base, -1, 0, OnPace, this)),
      parser_(options.limits) {
  WantRead(true);
  ArmIdle();
}

Connection::~Connection() {
  if (fd_ >= 0) CloseNow(Ledger::Outcome::kBroken, false);
}

void Connection::Close(bool with_reset) {
  if (fd_ >= 0) CloseNow(Ledger::Outcome::kBroken, with_reset);
}

void Connection::OnReadable(evutil_socket_t, short, void* self) {
  static_cast<Connection*>(self)->Read();
}

void Connection::OnWritable(evutil_socket_t, short, void* self) {
  auto* connection = static_cast<Connection*>(self);
  connection->Flush();
  connection->Advance();
  connection->Process();
}

void Connection::OnPace(evutil_socket_t, short, void* self) {
  auto* connection = static_cast<Connection*>(self);
  connection->Flush();
  connection->Advance();
  connection->Process();
}

void Connection::OnTimer(evutil_socket_t, short, void* self) {
  auto* connection = static_cast<Connection*>(self);
  switch (std::exchange(connection->timer_use_, TimerUse::kNone)) {
    case TimerUse::kNone:
      return;
    case TimerUse::kIdle:
      return connection->CloseNow(Ledger::Outcome::kBroken, false);
    case TimerUse::kStep:
      connection->Advance();
      return connection->Process();
    case TimerUse::kLinger:
      return connection->CloseNow(Ledger::Outcome::kBroken, false);
    case TimerUse::kReset:
      return connection->TryReset();
  }
}

void Connection::Arm(TimerUse use, absl::Duration delay) {
  timer_use_ = use;
  const timeval wait = WaitTime(delay);
  event_add(timer_.get(), &wait);
}

void Connection::ArmIdle() {
  Arm(TimerUse::kIdle, parser_.started() ? options_.read_timeout : options_.keepalive_idle);
}

void Connection::WantRead(bool on) {
  if (on == reads_) return;
  reads_ = on;
  if (on) {
    event_add(readable_.get(), nullptr);
  } else {
    event_del(readable_.get());
  }
}

void Connection::Read() {
  static thread_local char buffer[kReadBytes];
  const ssize_t size = recv(fd_, buffer, sizeof(buffer), 0);
  if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (size <= 0) return OnPeerGone();
  if (is_lingering_) return;  // dropped: the answer said that we are closing
  in_.append(buffer, static_cast<size_t>(size));
  Process();
  if (fd_ >= 0 && in_.size() - in_used_ >= kMaxInput) WantRead(false);
}

void Connection::OnPeerGone() { CloseNow(Ledger::Outcome::kCancelled, false); }

void Connection::Process() {
  while (fd_ >= 0 && !is_lingering_ && (!playing_.has_value() || answered_early_)) {
    if (parser_.state() == RequestParser::State::kDone) {
      if (playing_.has_value()) break;  // answered early, and the answer is still going out
      ResetParser();
    }
    if (in_used_ == in_.size()) break;
    const bool had_started = parser_.started();
    in_used_ += parser_.Feed(std::string_view(in_).substr(in_used_));
    if (parser_.state() == RequestParser::State::kFailed) {
      OnBadRequest();
      break;
    }
    if (!has_seen_head_ && parser_.state() != RequestParser::State::kHead) OnHead();
    if (fd_ >= 0 && parser_.state() == RequestParser::State::kDone && !answered_early_) OnRequest();
    const bool reads_request = fd_ >= 0 && !is_lingering_ && !playing_.has_value();
    if (reads_request && !had_started && parser_.started()) ArmIdle();
  }
  if (in_used_ == in_.size()) {
    in_.clear();
    in_used_ = 0;
  } else if (in_used_ >= kReadBytes) {
    in_.erase(0, std::exchange(in_used_, 0));
  }
  if (fd_ >= 0 && in_.size() - in_used_ < kMaxInput) WantRead(true);
}

void Connection::ResetParser() {
  parser_.Reset();
  has_seen_head_ = answered_early_ = false;
}

void Connection::OnHead() {
  has_seen_head_ = true;
  ++origin_.nth_on_connection;
  const Request& request = parser_.request();
  exchange_ = service_.Open(request);
  if (!request.has_body) return;
  if (exchange_.faults.early.has_value()) {
    answered_early_ = true;
    parser_.DiscardBody();
    Answer answer = service_.HandleEarly(request, exchange_);
    return Start(std::move(answer), std::move(exchange_));
  }
  if (request.expects_continue && request.version_minor == 1 &&
      !exchange_.faults.withholds_continue) {
    AppendInformational(100, out_);
    Flush();
  }
}

void Connection::OnRequest() {
  Answer answer = service_.Handle(parser_.request(), exchange_, origin_);
  Start(std::move(answer), std::move(exchange_));
}

void Connection::OnBadRequest() {
  if (playing_.has_value()) {  // the rest of a body whose answer is going out already
    playing_->closes = true;
    in_used_ = in_.size();
    return;
  }
  // Its answer is out already; another one would be taken for that of the next request.
  if (answered_early_) return CloseNow(Ledger::Outcome::kBroken, false);
  Answer answer = ErrorAnswer(Dialect::kOpenAi, parser_.error_status(), parser_.error());
  answer.afterwards = Afterwards::kAnnounceClose;
  Start(std::move(answer), Exchange());
}

void Connection::Start(Answer answer, Exchange exchange) {
  event_del(timer_.get());
  timer_use_ = TimerUse::kNone;
  const Request& request = parser_.request();
  playing_.emplace();
  playing_->exchange = std::move(exchange);
  playing_->answer = std::move(answer);
  playing_->started = PreciseNow();
  playing_->due = playing_->started;
  Answer& script = playing_->answer;
  // A client of HTTP/1.0 knows no chunks.
  if (request.version_minor == 0 && script.framing == Framing::kChunked) {
    script.framing = Framing::kUntilClose;
  }
  playing_->closes = !request.keep_alive || script.framing == Framing::kUntilClose ||
                     script.afterwards == Afterwards::kAnnounceClose;
  if (request.method == "HEAD" || !MayHaveBody(script.status)) playing_->sends_body = false;
  if (!playing_->sends_body && script.framing == Framing::kLength) {
    script.declared_length = script.declared_length.value_or(script.body_bytes());
  }
  std::string informational;
  if (request.version_minor == 1) {
    for (const int status : script.informational) AppendInformational(status, informational);
  }
  if (script.reset_at == uint64_t{0}) {
    FinishWith(After::kReset, Ledger::Outcome::kBroken);
  } else {
    Append(informational);
  }
  Advance();
}

bool Connection::Waits(MonoTime due) {
  const MonoTime now = PreciseNow();
  if (due <= now) return false;
  Flush();
  if (fd_ >= 0 && playing_.has_value()) Arm(TimerUse::kStep, due - now);
  return true;
}

void Connection::Advance() {
  while (fd_ >= 0 && playing_.has_value() && !playing_->is_over) {
    if (pending() > kHighWater) {
      Flush();
      if (pending() > kHighWater) return;  // OnWritable or OnPace comes back
      continue;
    }
    if (!playing_->has_head) {
      if (!Open()) return;
    } else if (playing_->sends_body && playing_->step < playing_->answer.steps.size()) {
      if (!PlayStep()) return;
    } else {
      const Answer& answer = playing_->answer;
      if (answer.ending == Ending::kStall) return Flush();
      if (answer.ending == Ending::kPings) {
        if (Waits(playing_->due + answer.ping_interval)) return;
        playing_->due = playing_->due + answer.ping_interval;
        AppendBody(kPingEvent);
        continue;
      }
      End();
    }
  }
  if (fd_ >= 0) Flush();
}

// The head or what stands in its place; false when it has to wait.
bool Connection::Open() {
  const Answer& answer = playing_->answer;
  const MonoTime due = playing_->started + answer.head_delay;
  if (Waits(due)) return false;
  playing_->due = due;
  playing_->has_head = true;
  if (answer.opening == Opening::kStall) {
    playing_->has_head = false;
    Flush();
    return false;
  }
  if (answer.opening == Opening::kClose) {
    FinishWith(After::kCloseAtOnce, Ledger::Outcome::kBroken);
    return true;
  }
  if (answer.opening == Opening::kGarbage) {
    Append(kGarbage);
    FinishWith(After::kClose, Ledger::Outcome::kBroken);
    return true;
  }
  const bool closes = playing_->closes;
  std::string keep_alive;
  if (options_.advertises_keepalive && !closes) {
    keep_alive = fmt::format("timeout={}", absl::ToInt64Seconds(options_.keepalive_idle));
  }
  const HeadOptions head{.date = host_.Date(),
                         .keep_alive = keep_alive,
                         .close = closes && answer.version_minor == 1,
                         .confirm_keep_alive = !closes && parser_.request().version_minor == 0};
  std::string bytes;
  AppendHead(answer, head, bytes);
  Append(bytes);
  return true;
}

// One step or one piece of it; false when it has to wait.
bool Connection::PlayStep() {
  const Step& step = playing_->answer.steps[playing_->step];
  if (playing_->filled == 0) {
    const MonoTime due = playing_->due + step.delay;
    if (Waits(due)) return false;
    playing_->due = due;
  }
  if (step.fill > 0) {
    AppendFillPiece(step);
    if (playing_->filled < step.fill) return true;
  } else if (step.is_raw) {
    Append(step.data);
  } else {
    AppendBody(step.data);
  }
  playing_->filled = 0;
  ++playing_->step;
  return true;
}

void Connection::AppendFillPiece(const Step& step) {
  const uint64_t size = std::min(step.piece, step.fill - playing_->filled);
  std::string piece;
  AppendFill(playing_->filled, size, piece);
  playing_->filled += size;
  AppendBody(piece);
}

void Connection::AppendBody(std::string_view data) {
  if (playing_->answer.framing != Framing::kChunked) return Append(data);
  std::string chunk;
  AppendChunk(data, chunk);
  Append(chunk);
}

void Connection::Append(std::string_view bytes) {
  if (playing_->is_over) return;
  const std::optional<uint64_t> reset_at = playing_->answer.reset_at;
  if (reset_at.has_value() && playing_->sent_bytes + bytes.size() >= *reset_at) {
    out_.append(bytes.substr(0, *reset_at - playing_->sent_bytes));
    return FinishWith(After::kReset, Ledger::Outcome::kBroken);
  }
  playing_->sent_bytes += bytes.size();
  out_.append(bytes);
}

void Connection::End() {
  const Answer& answer = playing_->answer;
  if (answer.ending == Ending::kCut) return FinishWith(After::kClose, Ledger::Outcome::kBroken);
  if (answer.framing == Framing::kChunked && playing_->sends_body) {
    std::string end;
    AppendChunkedEnd(answer, end);
    Append(end);
    if (playing_->is_over) return;
  }
  if (answer.reset_at.has_value()) return FinishWith(After::kReset, Ledger::Outcome::kBroken);
  After after = playing_->closes ? After::kClose : After::kNextRequest;
  if (answer.afterwards == Afterwards::kCloseSilently) after = After::kCloseAtOnce;
  if (answer.afterwards == Afterwards::kAbort) after = After::kCloseAtOnce;
  FinishWith(after, Ledger::Outcome::kCompleted);
}

void Connection::FinishWith(After after, Ledger::Outcome outcome) {
  playing_->is_over = true;
  playing_->outcome = outcome;
  after_ = after;
}

void Connection::Flush() {
  while (fd_ >= 0 && pending() > 0) {
    size_t size = pending();
    if (playing_.has_value() && playing_->answer.pace.has_value()) {
      const MonoTime now = PreciseNow();
      if (now < playing_->pace_due) {
        const timeval wait = WaitTime(playing_->pace_due - now);
        event_add(pace_timer_.get(), &wait);
        return;
      }
      size = static_cast<size_t>(std::min<uint64_t>(size, playing_->answer.pace->bytes));
      playing_->pace_due = now + playing_->answer.pace->interval;
    }
    const ssize_t sent = send(fd_, out_.data() + out_sent_, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      event_add(writable_.get(), nullptr);
      return;
    }
    if (sent < 0) return OnPeerGone();
    out_sent_ += static_cast<size_t>(sent);
  }
  if (fd_ < 0) return;
  out_.clear();
  out_sent_ = 0;
  if (after_ != After::kNothing) OnFlushed();
}

void Connection::OnFlushed() {
  const After after = std::exchange(after_, After::kNothing);
  service_.Close(playing_->exchange, playing_->outcome, PreciseNow() - playing_->started);
  // A request of which the parser will see no end cannot be followed by another one.
  const bool closes = playing_->closes || parser_.state() == RequestParser::State::kFailed;
  playing_.reset();
  switch (after) {
    case After::kNothing:
      return;
    case After::kNextRequest:
      if (closes) return Linger();
      if (parser_.state() == RequestParser::State::kDone) ResetParser();
      return ArmIdle();
    case After::kClose:
      return Linger();
    case After::kCloseAtOnce:
      return CloseNow(Ledger::Outcome::kBroken, false);
    case After::kReset:
      linger_until_ = PreciseNow() + kLinger;
      return TryReset();
  }
}

// Closing while unread input is there makes the kernel send RST, which may destroy an answer that
// the client has not read yet (RFC 9112 9.6). So: FIN, then read until the client closes.
void Connection::Linger() {
  is_lingering_ = true;
  shutdown(fd_, SHUT_WR);
  WantRead(true);
  Arm(TimerUse::kLinger, kLinger);
}

// RST throws away what the kernel has not sent, so wait until it has.
void Connection::TryReset() {
  int unsent = 0;
  is_lingering_ = true;
  if (ioctl(fd_, SIOCOUTQ, &unsent) == 0 && unsent > 0 && PreciseNow() < linger_until_) {
    return Arm(TimerUse::kReset, absl::Milliseconds(1));
  }
  CloseNow(Ledger::Outcome::kBroken, true);
}

void Connection::CloseNow(Ledger::Outcome outcome, bool with_reset) {
  if (playing_.has_value()) {
    service_.Close(playing_->exchange, outcome, PreciseNow() - playing_->started);
    playing_.reset();
  }
  event_del(readable_.get());
  event_del(writable_.get());
  event_del(timer_.get());
  event_del(pace_timer_.get());
  if (with_reset) {
    const linger at_once = {1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
  }
  close(std::exchange(fd_, -1));
  host_.OnClosed(origin_.connection);
}

}  // namespace outrigger::mock_ai
