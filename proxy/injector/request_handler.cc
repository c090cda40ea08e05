#include "proxy/injector/request_handler.h"

#include "fmt/format.h"

namespace outrigger::injector {

using http::HeaderId;

namespace {

int StatusOf(http::Reason reason) {
  switch (reason) {
    case http::Reason::kBodyTooLarge:
      return 413;
    case http::Reason::kRequestTimeout:
      return 408;
    default:
      return 400;
  }
}

}  // namespace

RequestHandler::RequestHandler(HandlerContext& context)
    : context_(context), lease_(&context.budget), deadline_([this] { OnDeadline(); }) {
  request_.arena = &arena_;
  ++context_.active;
}

RequestHandler::~RequestHandler() {
  task_.Reset();
  --context_.active;
}

void RequestHandler::Start(http::ServerStream& stream) {
  stream_ = &stream;
  context_.deadlines.Arm(deadline_);
  task_ = Run();
  task_.Start();
}

Task<void> RequestHandler::Run() {
  // Nothing is read for those that have no use of it.
  bool is_over = request_.body == nullptr || request_.method != http::Method::kPost;
  while (!is_over) {
    http::ChunkResult chunk = co_await request_.body->Read();
    if (!chunk.ok()) {
      Refuse(StatusOf(chunk.error().reason), ReasonName(chunk.error().reason));
      co_return;
    }
    if (!lease_.TryGrow(chunk->data.size())) {
      Refuse(503, "too many reviews at a time");
      co_return;
    }
    body_ += chunk->data;
    is_over = chunk->is_last;
  }
  const http::HeaderField* type = request_.headers.Find(HeaderId::kContentType);
  Question question;
  question.method = request_.method;
  question.target = request_.target;
  if (type != nullptr) question.content_type = type->value;
  question.body = body_;
  Answer(context_.webhook.Answer(question));
}

void RequestHandler::OnDeadline() {
  task_.Reset();
  Refuse(408, "the request took too long");
}

void RequestHandler::OnShutdown() {
  task_.Reset();
  Refuse(503, "the injector ends");
}

void RequestHandler::Refuse(int status, std::string_view text) {
  Reply reply;
  reply.status = status;
  reply.body = fmt::format("{}\n", text);
  Answer(reply);
}

void RequestHandler::Answer(const Reply& reply) {
  if (is_answered_) return;
  is_answered_ = true;
  deadline_.Unlink();
  http::HeaderList headers;
  headers.Add("Content-Type", reply.content_type);
  headers.Add("Cache-Control", "no-store");
  headers.Add("X-Content-Type-Options", "nosniff");
  if (!reply.allow.empty()) headers.Add("Allow", reply.allow);
  http::ResponseHeadToSend head;
  head.status = reply.status;
  head.headers = &headers;
  head.has_body = true;
  head.body_length = reply.body.size();
  stream_->SendHead(head);
  if (request_.method != http::Method::kHead) stream_->SendData(reply.body, /*is_last=*/true);
  stream_->Finish(nullptr);
}

}  // namespace outrigger::injector
