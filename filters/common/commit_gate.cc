#include "filters/common/commit_gate.h"

#include <string>
#include <utility>

#include "filters/common/grpc_body.h"
#include "filters/common/stream_observer.h"
#include "proxy/coro/abortable.h"
#include "proxy/event/abort_timer.h"
#include "proxy/http/executed_guard.h"

namespace outrigger::common {

using http::Body;
using http::Chunk;
using http::ChunkResult;
using http::Failure;
using http::HeaderId;
using http::Request;
using http::Response;
using http::Result;

namespace {

// The upstream's body, observed. While held, bytes are read ahead into `held_`.
class StreamBody final : public Body {
 public:
  StreamBody(Loop& loop, std::unique_ptr<Body> inner, StreamGrammar grammar, bool is_framed)
      : loop_(loop), inner_(std::move(inner)), observer_(grammar), is_framed_(is_framed) {}

  const http::StreamState& state() const { return state_; }
  const StreamObserver& observer() const { return observer_; }
  const std::optional<Failure>& failure() const { return failure_; }

  // Reads ahead until the stream's opening is known, it ends, or `max_bytes` are held. May be
  // dropped while it waits without losing a byte.
  Task<bool> ReadOpening(size_t max_bytes) {
    while (observer_.opening() == StreamOpening::kUndecided && held_.size() < max_bytes &&
           !is_ended_) {
      ChunkResult chunk = co_await inner_->Read();
      if (!chunk.ok()) {
        failure_ = chunk.error();
        co_return false;
      }
      Observe(*chunk);
      held_.append(chunk->data);
      is_ended_ = chunk->is_last;
    }
    co_return true;
  }

  Task<ChunkResult> Read() override {
    if (!held_.empty()) {
      handed_out_ = std::exchange(held_, {});
      co_return Chunk{handed_out_, is_ended_};
    }
    if (failure_.has_value()) co_return *failure_;
    if (is_ended_) co_return Chunk{{}, true};
    ChunkResult chunk = co_await inner_->Read();
    if (chunk.ok()) {
      Observe(*chunk);
      handed_out_.clear();
    }
    co_return chunk;
  }

  const http::HeaderList* trailers() const override { return inner_->trailers(); }

 private:
  void Observe(const Chunk& chunk) {
    const ChunkReport report = observer_.Observe(chunk.data);
    if (report.content_events > 0 && state_.content_events == 0) {
      state_.first_content = loop_.PreciseNow();
    }
    state_.content_events = observer_.content_events();
    state_.has_terminal = observer_.terminal_seen();
    state_.is_at_event_boundary = observer_.is_at_event_boundary();
    if (observer_.error_seen()) {
      state_.has_error_event = true;
      state_.error_status = StatusOfStreamError(observer_.grammar(), observer_.error());
    }
    if (chunk.is_last) state_.is_complete = observer_.IsCompleteAtEnd(is_framed_);
  }

  Loop& loop_;
  std::unique_ptr<Body> inner_;
  StreamObserver observer_;
  http::StreamState state_;
  std::string held_;
  std::string handed_out_;
  std::optional<Failure> failure_;
  const bool is_framed_;
  bool is_ended_ = false;
};

// The data of the error event, as the body of a response of its own.
class ErrorBody final : public Body {
 public:
  explicit ErrorBody(std::string text) : text_(std::move(text)) {}
  Task<ChunkResult> Read() override { co_return Chunk{text_, true}; }

 private:
  const std::string text_;
};

// An error event before any content, as the status that it stands for (RT-5).
Response ToErrorResponse(const StreamBody& body, const http::HeaderList& headers) {
  const StreamErrorClass error = body.observer().error();
  Response response;
  response.status = StatusOfStreamError(body.observer().grammar(), error);
  for (const http::HeaderField& field : headers) {
    if (field.id != HeaderId::kContentType && field.id != HeaderId::kContentLength) {
      response.headers.Add(field);
    }
  }
  response.headers.Add({"Content-Type", "application/json", HeaderId::kContentType});
  std::string text(body.observer().error_data());
  response.body_length = text.size();
  response.has_body = true;
  response.body = std::make_unique<ErrorBody>(std::move(text));
  response.stream_error =
      error == StreamErrorClass::kInvalidRequest
          ? http::StreamError::kInvalid
          : (error == StreamErrorClass::kServer ? http::StreamError::kServer
                                                : http::StreamError::kThrottled);
  return response;
}

}  // namespace

bool IsEventStream(const http::HeaderList& headers) {
  constexpr std::string_view kType = "text/event-stream";
  const http::HeaderField* type = headers.Find(HeaderId::kContentType);
  if (type == nullptr || type->value.size() < kType.size()) return false;
  if (!http::EqualsIgnoreCase(type->value.substr(0, kType.size()), kType)) return false;
  const std::string_view rest = http::TrimOws(type->value.substr(kType.size()));
  if (!rest.empty() && rest.front() != ';') return false;
  const http::HeaderField* coding = headers.Find(HeaderId::kContentEncoding);
  return coding == nullptr || http::EqualsIgnoreCase(coding->value, "identity");
}

Task<Result> CommitGate::CallHttp(Request& request, chain::Next next) {
  Result result = co_await next(request);
  if (!result.ok() || !result->has_body || result->tunnel != nullptr) co_return result;
  if (!IsEventStream(result->headers)) co_return result;
  Response& response = *result;
  // The views die with the first read of the body.
  response.headers.CopyInto(*request.arena);
  auto owned =
      std::make_unique<StreamBody>(loop_, std::move(response.body), grammar_, response.is_framed);
  StreamBody& body = *owned;
  response.body = std::move(owned);
  response.stream = &body.state();
  if (hold_timeouts_ == nullptr || response.status >= 300) co_return result;

  // One deadline for the whole hold, however many pings arrive meanwhile.
  Abortable<bool> opening(body.ReadOpening(kMaxHeldBytes));
  DeadlineEntry hold([&opening] { opening.Abort(); });
  AbortTimer<bool> first_content(loop_, opening);
  // A head that is late already is usually followed by its content at once.
  const bool is_late = request.first_content_by <= loop_.Now();
  if (!is_late && request.first_content_by < hold_timeouts_->NextDeadline()) {
    first_content.Arm(request.first_content_by);
  } else {
    hold_timeouts_->Arm(hold);
  }
  http::ExecutedGuard guard(request);
  co_await opening;
  guard.Disarm();
  if (body.observer().opening() == StreamOpening::kError) {
    Response error = ToErrorResponse(body, response.headers);
    co_return error;
  }
  // Ended before any content: nothing was committed, so this is still a failed attempt.
  if (body.failure().has_value() && body.observer().opening() == StreamOpening::kUndecided) {
    Failure failure = *body.failure();
    failure.phase = http::Phase::kAwaitingHead;
    co_return failure;
  }
  co_return result;
}

Task<Result> CommitGate::CallGrpc(Request& request, chain::Next next) {
  Result result = co_await next(request);
  // With another status it is the answer of something that does not speak gRPC.
  if (!result.ok() || result->status != 200) co_return result;
  Response& response = *result;
  if (response.has_body) response.headers.CopyInto(*request.arena);
  auto owned =
      std::make_unique<GrpcBody>(std::move(response.body), response.has_body, response.headers);
  GrpcBody& body = *owned;
  response.body = std::move(owned);
  response.grpc = &body.state();
  if (!response.has_body) co_return result;

  body.LookAhead();
  if (!body.is_open() && request.is_sent_whole && grpc_hold_timeouts_ != nullptr) {
    Abortable<bool> opening(body.ReadOpening());
    DeadlineEntry hold([&opening] { opening.Abort(); });
    grpc_hold_timeouts_->Arm(hold);
    http::ExecutedGuard guard(request);
    co_await opening;
    guard.Disarm();
  }
  // Ended before any message: nothing was committed, so this is still a failed attempt.
  if (body.failure().has_value() && !body.state().has_message) {
    Failure failure = *body.failure();
    failure.phase = http::Phase::kAwaitingHead;
    co_return failure;
  }
  co_return result;
}

}  // namespace outrigger::common
