#include "filters/idempotency/idempotency_filter.h"

#include <utility>

#include "filters/idempotency/key.h"
#include "filters/idempotency/paced_body.h"
#include "filters/idempotency/recorded_body.h"
#include "filters/idempotency/replay.h"

namespace outrigger::idempotency {

using http::Failure;
using http::HeaderId;
using http::Reason;
using http::Request;
using http::Response;
using http::Result;
using metrics::IdempotencyResult;
using Kind = BeginResult::Kind;

namespace {

// How often a request may find that the one it joined left before its body's end.
constexpr int kBeginnings = 4;

std::string_view DetailOf(RequestPart part) {
  switch (part) {
    case RequestPart::kMethod:
      return "the key was used with another method";
    case RequestPart::kPath:
      return "the key was used with another path";
    case RequestPart::kMediaType:
      return "the key was used with another media type";
    case RequestPart::kBody:
      break;
  }
  return "the key was used with another body";
}

}  // namespace

Task<Result> IdempotencyFilter::Call(Request& request, chain::Next next) {
  if (request.method != http::Method::kPost && request.method != http::Method::kPatch) {
    return next(request);
  }
  const ParsedKey key = ParseKey(request.headers, keys_policy().key_headers, *request.arena);
  switch (key.state) {
    case ParsedKey::State::kValid:
      if (key.key.size() > keys_policy().max_key_bytes) {
        return Refuse({.reason = Reason::kIdemKeyInvalid, .detail = "the key is too long"},
                      IdempotencyResult::kKeyInvalid);
      }
      return CallKeyed(request, next, key.key, kBeginnings);
    case ParsedKey::State::kInvalid:
      return Refuse({.reason = Reason::kIdemKeyInvalid, .detail = key.problem},
                    IdempotencyResult::kKeyInvalid);
    case ParsedKey::State::kAbsent:
      break;
  }
  if (keys_policy().required) {
    return Refuse({.reason = Reason::kIdemKeyMissing}, IdempotencyResult::kKeyMissing);
  }
  // Without a key the service has nothing to deduplicate by.
  request.effects = common::EffectsOfRequest(request.effects, false);
  return next(request);
}

Task<Result> IdempotencyFilter::Refuse(Failure failure, IdempotencyResult result) {
  Count(result);
  co_return failure;
}

Task<Result> IdempotencyFilter::CallKeyed(Request& request, chain::Next next, std::string_view key,
                                          int beginnings) {
  const std::string_view tenant =
      keys_policy().scope == Scope::kTenant ? request.tenant : std::string_view();
  const StoreKey store_key = parts_.key_maker.Make(tenant, key);
  Fingerprinter fingerprinter(request.method_name, request.target,
                              request.headers.Get(HeaderId::kContentType).value_or(""),
                              JsonOptions{keys_policy().json.get(), &parts_.execution.budget});
  const FingerprintHead head = fingerprinter.head();
  std::optional<Fingerprint> fingerprint;
  const std::optional<std::string_view> whole =
      request.body == nullptr ? std::optional<std::string_view>("") : request.body->Peek();
  if (whole.has_value()) {
    fingerprint = fingerprinter.Finish(*whole);
  } else if (!fingerprinter.Expect(request.body_length)) {
    // Before there is a record: nothing was sent, so nothing needs to be settled.
    co_return Failure{.reason = Reason::kOverloadMemory};
  }
  BeginResult begin = parts_.keys.Begin({.key = store_key,
                                         .head = head,
                                         .effects = request.effects,
                                         .policy = keys_policy(),
                                         .deadline = request.deadline},
                                        loop().Now());

  if (begin.kind == Kind::kFull && begin.bypass) {
    // Nobody will ask for it, and it may hold memory.
    { const Fingerprinter unused = std::move(fingerprinter); }
    Count(IdempotencyResult::kBypassed);
    request.record.idempotency = OutcomeName(Outcome::kBypassed);
    AppendOutcome(Outcome::kBypassed, absl::InfiniteDuration(), *request.arena,
                  request.response_headers);
    Result result = co_await next(request);
    co_return result;
  }

  // Destroyed from the last to the first: the reader before what it may wake.
  std::unique_ptr<CallerLink> link;
  SignalWaiter waiter(loop());
  SignalTimer patience(loop(), waiter.signal());
  std::unique_ptr<RecordingReader> reader = std::move(begin.reader);
  MonoTime patient_until = MonoTime::Infinite();
  switch (begin.kind) {
    case Kind::kNew: {
      request.has_record = true;
      request.record.idempotency = "reserved";
      link = std::make_unique<CallerLink>(request);
      ExecutionBody body{whole.value_or(""), fingerprint, std::nullopt};
      if (!fingerprint.has_value()) body.fingerprinter = std::move(fingerprinter);
      Execution::Start(parts_.execution, policy_.execution, std::move(begin.reservation), request,
                       next, std::move(body), *link);
      break;
    }
    case Kind::kJoin:
      if (keys_policy().in_flight == InFlight::kWait) {
        patient_until = loop().Now() + keys_policy().in_flight_wait;
        patience.Arm(patient_until);
      }
      break;
    case Kind::kReplay:
    case Kind::kUnknown:
    case Kind::kTombstone:
      break;
    case Kind::kMismatch:
    case Kind::kInFlight:
    case Kind::kTooManyWaiters:
    case Kind::kFull:
      co_return RefusalOf(begin);
  }

  if (begin.kind != Kind::kNew) {
    // A repetition's body is read for its hash alone.
    while (!fingerprint.has_value()) {
      http::ChunkResult chunk = co_await request.body->Read();
      if (!chunk.ok()) co_return chunk.error();
      request.record.request_bytes += chunk->data.size();
      fingerprinter.Update(chunk->data);
      if (chunk->is_last) fingerprint = fingerprinter.Finish();
    }
    if (reader == nullptr) co_return StoredRefusal(begin, *fingerprint, request);
    for (;;) {
      const FingerprintMatch match = reader->Compare(*fingerprint, waiter);
      if (match.state == FingerprintMatch::State::kSame) break;
      if (match.state == FingerprintMatch::State::kDiffers) co_return MismatchIn(match.part);
      // The execution ended without its own body. Asking again begins anew, which who still has
      // its body need not leave to its client.
      if (match.state == FingerprintMatch::State::kUndecidable) {
        if (!whole.has_value() || beginnings == 1) co_return RefuseInFlight();
        reader.reset();
        co_return co_await CallKeyed(request, next, key, beginnings - 1);
      }
      if (patient_until <= loop().Now()) co_return RefuseInFlight();
      co_await waiter.Wait();
    }
    const bool is_join = begin.kind == Kind::kJoin;
    if (!is_join) {
      std::optional<Failure> refusal = LimitReplay(request);
      if (refusal.has_value()) co_return *refusal;
    }
    Count(is_join ? IdempotencyResult::kJoined : IdempotencyResult::kReplayed);
    request.record.idempotency = OutcomeName(is_join ? Outcome::kJoined : Outcome::kReplayed);
  }

  for (;;) {
    const HeadState state = reader->AwaitHead(waiter);
    if (state == HeadState::kReady) break;
    if (state == HeadState::kFailed) co_return reader->failure();
    if (patient_until <= loop().Now()) co_return RefuseInFlight();
    co_await waiter.Wait();
  }
  co_return Answer(request, std::move(reader), std::move(link), begin);
}

Response IdempotencyFilter::Answer(Request& request, std::unique_ptr<RecordingReader> reader,
                                   std::unique_ptr<CallerLink> link, const BeginResult& begin) {
  const Recording& recording = reader->recording();
  const RecordedHead& head = recording.head();
  Response response;
  response.status = head.status;
  response.reason = head.traits.reason;
  response.has_body = head.traits.has_body;
  response.body_length = head.body_length;
  if (begin.kind == Kind::kNew) {
    // All of it, and what the link has added (ID-4 is about the answers to others).
    head.headers.AppendTo(response.headers);
  } else {
    ReplayInfo info{.outcome = Outcome::kJoined};
    if (begin.kind == Kind::kReplay) {
      info = {Outcome::kReplayed, begin.expires_at - loop().Now()};
      const bool has_trailers = !reader->trailers().empty();
      if (response.has_body && !has_trailers) response.body_length = recording.body_bytes();
    }
    AppendReplayedHeaders(head, info, *request.arena, response.headers);
  }
  if (head.traits.is_outcome_unknown) {
    response.headers.Add({"x-outrigger-outcome", "unknown", HeaderId::kXOutrigger});
  }
  const bool is_stream = head.traits.is_stream;
  if (is_stream) reader->SetDeadline(loop().Now() + policy_.max_stream);
  auto body = std::make_unique<RecordedBody>(loop(), std::move(reader), std::move(link));
  const bool is_paced = begin.kind == BeginResult::Kind::kReplay &&
                        keys_policy().replay_pace == ReplayPace::kOriginal &&
                        !recording.pace().empty();
  if (is_paced) {
    auto paced = std::make_unique<PacedBody>(loop(), std::move(body), recording.pace());
    response.stream = &paced->stream();
    response.body = std::move(paced);
    return response;
  }
  if (is_stream) response.stream = &body->stream();
  response.body = std::move(body);
  return response;
}

// What a key without an answer tells those who send the same request.
Failure IdempotencyFilter::StoredRefusal(const BeginResult& begin, const Fingerprint& fingerprint,
                                         Request& request) {
  const std::optional<RequestPart> part = begin.FindDifferenceFrom(fingerprint);
  if (part.has_value()) return MismatchIn(*part);
  if (begin.kind == Kind::kTombstone) {
    Count(IdempotencyResult::kNotKept);
    return {.reason = Reason::kIdemResponseNotKept};
  }
  Count(IdempotencyResult::kReplayed);
  request.record.idempotency = OutcomeName(Outcome::kReplayed);
  AppendOutcome(Outcome::kReplayed, begin.expires_at - loop().Now(), *request.arena,
                request.response_headers);
  return {.reason = Reason::kIdemUnknown,
          .status = static_cast<uint16_t>(begin.unknown.status),
          .is_outcome_unknown = true};
}

Failure IdempotencyFilter::RefusalOf(const BeginResult& begin) {
  switch (begin.kind) {
    case Kind::kMismatch:
      return MismatchIn(begin.part);
    case Kind::kFull:
      Count(IdempotencyResult::kStoreFull);
      return {.reason = Reason::kIdemStoreFull};
    default:
      return RefuseInFlight();
  }
}

Failure IdempotencyFilter::MismatchIn(RequestPart part) {
  Count(IdempotencyResult::kMismatch);
  return {.reason = Reason::kIdemMismatch, .detail = DetailOf(part)};
}

Failure IdempotencyFilter::RefuseInFlight() {
  Count(IdempotencyResult::kInFlight);
  return {.reason = Reason::kIdemInFlight};
}

std::optional<Failure> IdempotencyFilter::LimitReplay(const Request& request) {
  if (parts_.replay_wait == nullptr) return std::nullopt;
  const absl::Duration wait = parts_.replay_wait(request);
  if (wait <= absl::ZeroDuration()) return std::nullopt;
  Count(IdempotencyResult::kReplayLimited);
  return Failure{.reason = Reason::kRateReplays, .retry_after = wait};
}

void IdempotencyFilter::Count(IdempotencyResult result) {
  parts_.execution.metrics.Increment(parts_.execution.standard_metrics.idempotency.At(result));
}

}  // namespace outrigger::idempotency
