#include "proxy/http2/incoming_body.h"

#include <cstring>
#include <utility>

#include "proxy/http1/chars.h"
#include "proxy/http1/field_line.h"
#include "proxy/http1/framing.h"
#include "proxy/http2/kept_field.h"

namespace outrigger::http2 {

using http::Chunk;
using http::ChunkResult;
using http::Failure;
using http::Reason;

class IncomingBody::BodyImpl final : public http::Body {
 public:
  explicit BodyImpl(IncomingBody& incoming) : incoming_(&incoming) {}
  ~BodyImpl() override {
    if (incoming_ != nullptr) incoming_->body_ = nullptr;
  }

  Task<ChunkResult> Read() override {
    if (incoming_ == nullptr) return Gone();
    return incoming_->Read();
  }
  std::optional<ChunkResult> TryRead() override {
    if (incoming_ == nullptr || !incoming_->has_news()) return std::nullopt;
    return incoming_->Take();
  }
  std::optional<std::string_view> Peek() const override {
    if (incoming_ == nullptr || !incoming_->is_ended_ || !incoming_->reading_.empty() ||
        incoming_->has_failed()) {
      return std::nullopt;
    }
    return incoming_->trailers_.empty() ? std::optional(incoming_->incoming_.view()) : std::nullopt;
  }
  const http::HeaderList* trailers() const override {
    if (incoming_ == nullptr || !incoming_->is_ended_) return nullptr;
    return incoming_->trailers_.empty() ? nullptr : &incoming_->trailers_;
  }

 private:
  friend class IncomingBody;

  static Task<ChunkResult> Gone() { co_return Failure{.reason = Reason::kRequestTimeout}; }

  IncomingBody* incoming_;
};

IncomingBody::~IncomingBody() {
  if (body_ != nullptr) body_->incoming_ = nullptr;
}

std::unique_ptr<http::Body> IncomingBody::NewBody() {
  auto body = std::make_unique<BodyImpl>(*this);
  body_ = body.get();
  return body;
}

void IncomingBody::Append(std::string_view data) {
  received_bytes_ += data.size();
  if (max_bytes_.has_value() && received_bytes_ > *max_bytes_) Fail(Reason::kBodyTooLarge);
  if (has_failed() || !IsAsExpected(false)) {
    owner_.OnBodyConsumed(data.size());  // nobody will read it
    return;
  }
  if (data.empty()) return;
  if (!incoming_.has_block()) {
    incoming_.Prepare(pool_, net::BufferPool::SizeFor(data.size()));
  } else if (incoming_.room() < data.size()) {
    incoming_.Grow(pool_, net::BufferPool::SizeFor(incoming_.size() + data.size()));
  }
  std::memcpy(incoming_.room_begin(), data.data(), data.size());
  incoming_.Commit(data.size());
}

bool IncomingBody::AddTrailer(std::string_view name, std::string_view value) {
  trailer_bytes_ += name.size() + value.size() + 4;
  if (trailer_bytes_ > kMaxTrailerBytes || trailers_.size() == kMaxTrailerFields) return false;
  const http::HeaderId id = http::ClassifyHeader(name);
  if (!http1::IsLowerName(name, id) || !http1::IsFieldValue(value)) return false;
  if (id == http::HeaderId::kGrpcMessage) value = http::TrimOws(value);
  if (http::TrimOws(value).size() != value.size()) return false;
  if (!http1::MayBeTrailer(id) || http1::IsImitation(name)) return false;
  trailers_.Add(KeepField(name, value, id, trailer_arena_));
  return true;
}

void IncomingBody::Fail(const Failure& failure) {
  if (!has_failed()) failure_ = failure;
}

void IncomingBody::FailBehind(const Failure& failure) {
  if (has_failed()) return;
  failure_ = failure;
  fails_behind_ = true;
}

void IncomingBody::Wake() {
  if (is_waiting_ && has_news()) readable_.NotifyFromLoop();
}

ChunkResult IncomingBody::Take() {
  if (const size_t done = reading_.size(); done > 0) {
    reading_.Clear();
    owner_.OnBodyConsumed(done);
  }
  if (has_failed() && (!fails_behind_ || incoming_.empty())) return failure_;
  reading_ = std::move(incoming_);
  return Chunk{reading_.view(), is_ended_};
}

Task<ChunkResult> IncomingBody::Read() {
  // What was read before is done with, whether or not there is more.
  if (const size_t done = reading_.size(); done > 0) {
    reading_.Clear();
    owner_.OnBodyConsumed(done);
  }
  while (!has_news()) {
    is_waiting_ = true;
    owner_.OnBodyWait(true);
    co_await readable_.Wait();
    is_waiting_ = false;
    owner_.OnBodyWait(false);
  }
  co_return Take();
}

}  // namespace outrigger::http2
