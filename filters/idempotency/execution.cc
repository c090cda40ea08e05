#include "filters/idempotency/execution.h"

#include <algorithm>
#include <utility>

#include "filters/common/answer.h"
#include "filters/common/local_reply.h"

namespace outrigger::idempotency {

using common::RecordAction;
using http::Effects;
using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;
using http::StreamOutcome;
using metrics::IdempotencyResult;

namespace {

// What later requests are told of an outcome that stays unknown: the first answer's status, when it
// is one of the two that say so (ID-6).
UnknownAnswer AnswerOf(Reason reason) {
  const uint16_t status = common::RuleOf(reason).status;
  return {status == 504 ? 504 : 502, reason};
}

}  // namespace

void Execution::Start(const ExecutionParts& parts, const ExecutionPolicy& policy,
                      Reservation reservation, http::Request& caller, chain::Next next,
                      ExecutionBody body, CallerLink& link) {
  auto execution = std::make_unique<Execution>(parts, policy, std::move(reservation), caller, next,
                                               std::move(body), link);
  parts.runtime.Spawn(Run(std::move(execution)));
}

Execution::Execution(const ExecutionParts& parts, const ExecutionPolicy& policy,
                     Reservation reservation, http::Request& caller, chain::Next next,
                     ExecutionBody body, CallerLink& link)
    : parts_(parts),
      policy_(policy),
      charge_(&parts.budget),
      reservation_(std::move(reservation)),
      link_(&link),
      dispatch_mark_(*this),
      informational_(*this),
      readers_watch_(parts.loop, *this),
      detached_(*this),
      detached_timer_(parts.loop, *this),
      room_(parts.loop),
      pump_(Pump(next)) {
  link.Attach(*this);
  CopyRequest(caller, std::move(body));
  charge_.Grow(sizeof(Execution) + arena_.reserved_bytes());
}

Execution::~Execution() {
  // Dropped with its scope: the reservation settles itself when the members go.
  Leave();
}

void Execution::CopyRequest(http::Request& caller, ExecutionBody body) {
  request_.method = caller.method;
  request_.method_name = arena_.Copy(caller.method_name);
  request_.target = arena_.Copy(caller.target);
  request_.authority = arena_.Copy(caller.authority);
  request_.headers = caller.headers;
  request_.headers.CopyInto(arena_);
  request_.body_length = caller.body_length;
  request_.expects_continue = caller.expects_continue;
  request_.peer_address = arena_.Copy(caller.peer_address);
  request_.protocol = caller.protocol;
  request_.is_grpc = caller.is_grpc;
  request_.scheme = caller.scheme;
  request_.path = arena_.Copy(caller.path);
  request_.query = arena_.Copy(caller.query);
  request_.effects = caller.effects;
  request_.tenant = arena_.Copy(caller.tenant);
  request_.is_tenant_unverified = caller.is_tenant_unverified;
  request_.received = caller.received;
  request_.deadline = caller.deadline;
  request_.id = arena_.Copy(caller.id);
  request_.traceparent = arena_.Copy(caller.traceparent);
  request_.trace_id = arena_.Copy(caller.trace_id);
  request_.is_draining = caller.is_draining;
  request_.upstream_headers = caller.upstream_headers;
  request_.upstream_headers.CopyInto(arena_);
  request_.has_record = true;
  request_.arena = &arena_;
  request_.chain_pin = caller.chain_pin;
  request_.informational = &informational_;
  request_.dispatch_hooks.PushBack(dispatch_mark_);

  if (body.fingerprint.has_value()) {
    is_request_read_ = true;
    is_request_ended_ = true;
    recording().SetFingerprint(*body.fingerprint);
    if (caller.body != nullptr) {
      request_.body = std::make_unique<OwnedBody>(arena_.Copy(body.whole));
    }
    return;
  }
  auto streamed = std::make_unique<FingerprintingBody>(
      std::move(caller.body), caller.body_length, std::move(*body.fingerprinter),
      static_cast<FingerprintingBody::Listener&>(*this));
  streamed_body_ = streamed.get();
  request_.body = std::move(streamed);
}

Task<void> Execution::Run(std::unique_ptr<Execution> execution) {
  Execution& self = *execution;
  self.OnReadersChanged();
  const std::optional<bool> finished = co_await self.pump_;
  if (!finished.has_value()) self.FinishCancelled();
}

// True: it has called one of the ends.
Task<bool> Execution::Pump(chain::Next next) {
  http::Result result = co_await next(request_);
  if (!result.ok()) {
    FinishFailed(result.error());
    co_return true;
  }
  response_.emplace(std::move(result).value());
  OnHead();
  while (response_->has_body) {
    http::ChunkResult chunk = co_await response_->body->Read();
    if (!chunk.ok()) {
      FinishCut(chunk.error(), StreamOutcome::kCut);
      co_return true;
    }
    if (response_->stream != nullptr) {
      recording().NoteStream(*response_->stream, chunk->data.size());
      if (policy_.keys.replay_pace == ReplayPace::kOriginal) {
        recording().NotePace(chunk->data.size(), parts_.loop.Now());
      }
    }
    recording().Append(chunk->data);
    if (chunk->is_last) break;
    if (IsUseless()) {
      FinishCut({.reason = Reason::kUpstreamReset, .phase = Phase::kBody},
                StreamOutcome::kClientGone);
      co_return true;
    }
    while (recording().WaitForRoom(room_)) co_await room_.Wait();
  }
  FinishAnswered();
  co_return true;
}

Task<std::optional<Failure>> Execution::DispatchMark::BeforeDispatch(http::Request&) {
  execution.is_dispatched_ = true;
  execution.reservation_.MarkExecuting();
  if (execution.link_ != nullptr) execution.link_->NoteDispatch();
  co_return std::nullopt;
}

void Execution::InformationalRelay::OnInformational(int status, const http::HeaderList& headers) {
  if (execution.link_ != nullptr) execution.link_->OnInformational(status, headers);
}

common::Event Execution::AnswerEvent() const {
  if (response_->reason != Reason::kNone) return common::Event::kOwnRejection;
  return common::ClassifyAnswer(*response_);
}

// True: an earlier attempt may have done what this answer says was not done.
bool Execution::Judge() {
  verdict_ = Decide(AnswerEvent(), reservation_.effects(), policy_.decide);
  const bool hides_execution = request_.executed > verdict_.executed &&
                               verdict_.record == RecordAction::kRelease &&
                               reservation_.effects() == Effects::kUnsafe;
  if (hides_execution) verdict_.record = RecordAction::kTombstone;
  return hides_execution;
}

void Execution::OnHead() {
  const http::Response& response = *response_;
  const bool hides_execution = Judge();
  recording().SetHead(
      response.status, response.headers, request_.id, response.body_length,
      {.has_body = response.has_body,
       .is_stream = response.stream != nullptr,
       .is_outcome_unknown = verdict_.record == RecordAction::kDoneUnknown || hides_execution,
       .reason = response.reason});

  if (link_ == nullptr) return;
  link_->CopyResponseHeaders(request_);
  const bool keeps =
      verdict_.record == RecordAction::kDone || verdict_.record == RecordAction::kDoneUnknown;
  if (keeps && !recording().overflowed()) {
    // The time runs from completion, which is not before now.
    link_->SayOutcome(Outcome::kStored, std::min(policy_.keys.key_ttl, policy_.keys.response_ttl));
  } else if (!hides_execution && (!keeps || reservation_.effects() != Effects::kUnsafe)) {
    link_->SayOutcome(Outcome::kReleased, absl::InfiniteDuration());
  }
  link_->CopyRecord(request_, request_.was_dispatched ? "executing" : "reserved");
}

void Execution::FinishFailed(Failure failure) {
  const common::Verdict verdict =
      Decide(common::ClassifyFailure(failure), reservation_.effects(), policy_.decide);
  const Executed executed = std::max({failure.executed, request_.executed, verdict.executed});
  // What was not dispatched was not executed, whatever the reason sounds like.
  const bool may_have_run = is_dispatched_ && executed != Executed::kNo;
  if (may_have_run && reservation_.effects() == Effects::kUnsafe) {
    const std::optional<State> state =
        reservation_.SetUnknown(AnswerOf(failure.reason), parts_.loop.Now());
    failure.is_outcome_unknown = true;
    NoteState(state.value_or(State::kUnknown));
  } else {
    reservation_.Release();
    NoteState(State::kAbsent);
    if (link_ != nullptr) link_->SayOutcome(Outcome::kReleased, absl::InfiniteDuration());
  }
  if (link_ != nullptr) link_->CopyResponseHeaders(request_);
  recording().Fail(failure);
  End(StreamOutcome::kCut);
}

void Execution::FinishAnswered() {
  const http::Response& response = *response_;
  const http::StreamState* stream = response.stream;
  // Only now is the status of a call known.
  if (response.grpc != nullptr) Judge();
  // Only a proven end may be replayed: of a stream its terminal event, of a call its status, else
  // the framing's (ID-8).
  bool is_complete =
      !response.has_body || (stream != nullptr ? stream->is_complete : response.is_framed);
  if (response.grpc != nullptr && !response.grpc->status.has_value()) is_complete = false;
  const bool keeps =
      verdict_.record == RecordAction::kDone || verdict_.record == RecordAction::kDoneUnknown;
  static const http::HeaderList kNoTrailers;
  const http::HeaderList* trailers =
      response.body != nullptr && response.has_body ? response.body->trailers() : nullptr;
  if (trailers == nullptr) trailers = &kNoTrailers;

  // Without the request's fingerprint nobody could be told apart from the one who has the answer.
  if (keeps && is_complete && is_request_read_) {
    recording().Complete(*trailers);
    NoteState(reservation_.Complete(parts_.loop.Now()).value_or(State::kAbsent));
  } else {
    // Settled first, so that who repeats after the last byte begins anew.
    SettleCut();
    recording().Complete(*trailers);
  }
  StreamOutcome outcome = StreamOutcome::kComplete;
  if (stream != nullptr && stream->has_error_event) {
    outcome = StreamOutcome::kErrorEvent;
  } else if (stream != nullptr && !stream->is_complete) {
    outcome = StreamOutcome::kCut;
  }
  End(outcome);
}

// There is no whole answer to keep.
void Execution::SettleCut() {
  if (verdict_.record == RecordAction::kRelease || !is_dispatched_) {
    reservation_.Release();
    NoteState(State::kAbsent);
  } else {
    NoteState(reservation_.GiveUpBody(parts_.loop.Now()).value_or(State::kAbsent));
  }
}

void Execution::FinishCut(const Failure& failure, StreamOutcome outcome) {
  const Reason reason = failure.reason;
  if (reason == Reason::kInterTokenTimeout || reason == Reason::kTtftTimeout ||
      reason == Reason::kMaxStream) {
    outcome = StreamOutcome::kStall;
  }
  SettleCut();
  recording().Fail(failure);
  End(outcome);
}

void Execution::FinishCancelled() {
  const bool is_deadline = cancellation_ == Cancellation::kDeadline;
  Failure failure;
  failure.phase = response_.has_value() ? Phase::kBody : Phase::kAwaitingHead;
  failure.executed = is_dispatched_ ? Executed::kMaybe : Executed::kNo;
  failure.reason = Reason::kUpstreamReset;
  if (is_deadline) {
    const bool is_stream = response_.has_value() && response_->stream != nullptr;
    failure.reason = is_stream ? Reason::kMaxStream : Reason::kDeadline;
  }
  // A request that was cut short has no whole answer, whatever came back so far (ID-12).
  if (!response_.has_value() || cancellation_ == Cancellation::kRequestCut) {
    FinishFailed(failure);
  } else {
    FinishCut(failure, is_deadline ? StreamOutcome::kStall : StreamOutcome::kClientGone);
  }
}

void Execution::End(StreamOutcome outcome) {
  is_over_ = true;
  Leave();
  if (response_.has_value()) {
    response_->EndStream(outcome);
    response_.reset();
  }
}

void Execution::Leave() {
  if (link_ != nullptr) std::exchange(link_, nullptr)->Detach();
  recording().StopOwnerWaits();
  parts_.runtime.Leave(detached_);
  detached_timer_.Disarm();
}

void Execution::OnCallerGone() {
  link_ = nullptr;
  if (is_request_ended_ || is_over_) return;
  // What arrived before the client left is all that counts, not how much of it was passed on.
  if (streamed_body_->TakeRest(arena_, parts_.budget)) return;
  Cancel(Cancellation::kRequestCut);
}

void Execution::OnRequestRead(const Fingerprint& fingerprint) {
  is_request_read_ = true;
  recording().SetFingerprint(fingerprint);
}

void Execution::OnReadersChanged() {
  for (;;) {
    const ReaderStatus status = recording().reader_status();
    if (status.count > 0) {
      parts_.runtime.Leave(detached_);
      detached_timer_.Disarm();
    } else if (!detached_.is_linked()) {
      if (status.furthest_deadline <= parts_.loop.Now()) {
        Cancel(Cancellation::kDeadline);
        return;
      }
      if (!MayDetach()) {
        Cancel(Cancellation::kNobodyWaits);
        return;
      }
      detached_timer_.Arm(parts_.loop.Now() + policy_.keys.detached_timeout);
    }
    if (recording().WaitForReaders(readers_watch_, status.version)) return;
  }
}

bool Execution::MayDetach() {
  if (policy_.keys.on_owner_disconnect == OnOwnerDisconnect::kCancel) return false;
  if (recording().overflowed() && reservation_.effects() != Effects::kUnsafe) return false;
  return parts_.runtime.Join(detached_, policy_.keys.max_detached);
}

// Nobody reads the answer, it is too big to be kept, and asking again does no harm.
bool Execution::IsUseless() {
  return detached_.is_linked() && recording().overflowed() &&
         reservation_.effects() != Effects::kUnsafe;
}

void Execution::Cancel(Cancellation why) {
  if (is_over_) return;
  cancellation_ = why;
  pump_.Abort();
}

void Execution::Count(IdempotencyResult result) {
  parts_.metrics.Increment(parts_.standard_metrics.idempotency.At(result));
}

void Execution::NoteState(State state) {
  std::string_view word = "released";
  switch (state) {
    case State::kDone:
      Count(IdempotencyResult::kStored);
      word = "stored";
      break;
    case State::kTombstone:
      Count(IdempotencyResult::kTombstone);
      word = "tombstone";
      break;
    case State::kUnknown:
      Count(IdempotencyResult::kUnknown);
      word = "unknown";
      break;
    default:
      Count(IdempotencyResult::kReleased);
      break;
  }
  if (link_ != nullptr) link_->CopyRecord(request_, word);
}

}  // namespace outrigger::idempotency
