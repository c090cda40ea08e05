#include "proxy/http1/incoming_request.h"

#include <optional>

#include "proxy/tunnel/upgrade.h"

namespace outrigger::http1 {

using http::Reason;

namespace {

// The origin form of the target: what a service behind a proxy expects (RFC 9112, 3.2.1).
std::string_view OriginForm(const RequestHead& head, Arena& arena) {
  if (head.form != TargetForm::kAbsolute) return head.target;
  return arena.Concat(head.path, head.query);
}

// What of a well-formed head is refused all the same.
FramingError Judge(const ServerContext& context, const RequestHead& head,
                   const RequestFraming& framing, http::Request& request) {
  const std::optional<uint64_t> max_body = context.MaxBodyBytes(request.headers);
  if (max_body.has_value() && framing.body.length > *max_body) {
    return {Reason::kBodyTooLarge, "the Content-Length is over the listener's limit"};
  }
  if (framing.upgrade.empty() || context.upgrades == nullptr) return {};
  const tunnel::UpgradeVerdict verdict = tunnel::JudgeUpgrade(
      {framing.upgrade, head.method, framing.body.has_body()}, request.headers, *context.upgrades);
  if (verdict.kind == tunnel::UpgradeVerdict::Kind::kMalformed) {
    return {Reason::kBadRequest, verdict.message};
  }
  request.upgrade = verdict.protocol;
  return {};
}

}  // namespace

TakenHead TakeRequestHead(const ServerContext& context, std::string_view received,
                          HeadProgress& progress, http::Request& request) {
  TakenHead taken;
  RequestHead head;
  const HeadResult result =
      ParseRequestHead(received, progress, context.head_limits, head, request.headers);
  taken.status = result.status;
  if (result.status == HeadStatus::kError) taken.error = {result.reason, result.message};
  if (result.status != HeadStatus::kDone) return taken;
  taken.error = GetRequestFraming(head, request.headers, taken.framing);
  if (taken.error.ok()) taken.error = Judge(context, head, taken.framing, request);
  if (!taken.error.ok()) {
    taken.status = HeadStatus::kError;
    return taken;
  }
  taken.minor_version = head.minor_version;
  taken.bytes = result.consumed;
  request.method = head.method;
  request.method_name = head.method_text;
  request.target = OriginForm(head, *request.arena);
  request.authority = head.authority;
  if (taken.framing.body.kind == BodyKind::kLength) {
    request.body_length = taken.framing.body.length;
  }
  request.expects_continue = taken.framing.expects_continue;
  return taken;
}

}  // namespace outrigger::http1
