#include "proxy/chain/failure_reply.h"

#include "filters/common/local_reply.h"

namespace outrigger::chain {

using http::HeaderField;
using http::HeaderId;

namespace {

// What explains the header that a route may require (ID-1).
constexpr std::string_view kIdempotencyKeyDocument =
    "https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/";

}  // namespace

SentReply SendFailureReply(http::ServerStream& stream, http::Request& request,
                           const http::Failure& failure, std::string_view detail,
                           std::string_view date, bool is_draining) {
  common::LocalReplyContext context;
  context.effects = request.effects;
  context.retry_after = failure.retry_after;
  context.request_id = request.id;
  context.detail = detail;
  context.are_retries_exhausted = request.record.retries_exhausted;
  context.status = failure.status;
  context.is_outcome_unknown = failure.is_outcome_unknown;
  if (request.is_grpc) context.format = common::ErrorFormat::kGrpc;
  if (failure.reason == http::Reason::kIdemKeyMissing) {
    context.described_by = kIdempotencyKeyDocument;
  }
  const common::LocalReply reply = BuildLocalReply(failure.reason, context, *request.arena);
  http::HeaderList headers;
  for (const HeaderField& field : reply.headers()) headers.Add(field);
  for (const HeaderField& field : request.response_headers) headers.Add(field);
  headers.Add({"Date", date, HeaderId::kDate});
  stream.SendHead({.status = reply.status,
                   .headers = &headers,
                   .has_body = !reply.body.empty(),
                   .body_length = reply.body.size(),
                   .close = reply.closes_connection || is_draining});
  request.record.response_bytes = reply.body.size();
  stream.SendData(reply.body, true);
  stream.Finish(nullptr);
  SentReply sent{.status = reply.status};
  if (request.is_grpc) sent.grpc_status = reply.grpc_code;
  return sent;
}

}  // namespace outrigger::chain
