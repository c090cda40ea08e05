#include "proxy/http1/request_reader.h"

#include <algorithm>
#include <utility>

namespace outrigger::http1 {

using http::Chunk;
using http::ChunkResult;
using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;

class RequestReader::BodyImpl final : public http::Body {
 public:
  explicit BodyImpl(RequestReader& reader) : reader_(&reader) {}
  ~BodyImpl() override {
    if (reader_ != nullptr) reader_->body_ = nullptr;
  }

  Task<ChunkResult> Read() override {
    if (reader_ == nullptr) return ReaderGone();
    return reader_->Read();
  }
  std::optional<ChunkResult> TryRead() override {
    return reader_ == nullptr ? std::nullopt : reader_->TryRead();
  }
  std::optional<std::string_view> Peek() const override {
    return reader_ == nullptr ? std::nullopt : reader_->Peek();
  }
  const http::HeaderList* trailers() const override {
    if (reader_ == nullptr || reader_->framing_.kind != BodyKind::kChunked) return nullptr;
    const http::HeaderList& trailers = reader_->decoder_.trailers();
    return reader_->is_done_ && !trailers.empty() ? &trailers : nullptr;
  }

 private:
  friend class RequestReader;

  static Task<ChunkResult> ReaderGone() {
    co_return Failure{.reason = Reason::kRequestTimeout, .phase = Phase::kLocal};
  }

  RequestReader* reader_;
};

RequestReader::RequestReader(Owner& owner, EventLoop& loop, net::BufferPool& pool,
                             net::Socket& socket, net::ReadBuffer& head_buffer, size_t head_bytes,
                             const RequestFraming& framing, std::optional<uint64_t> max_body_bytes)
    : owner_(owner),
      pool_(pool),
      socket_(socket),
      head_buffer_(head_buffer),
      head_offset_(head_bytes),
      framing_(framing.body),
      left_(framing.body.length),
      max_body_bytes_(max_body_bytes),
      readable_(loop),
      fits_behind_head_(framing.body.kind == BodyKind::kLength &&
                        framing.body.length <= head_buffer.capacity() - head_bytes),
      is_done_(!framing.body.has_body()),
      owes_continue_(framing.expects_continue && framing.body.has_body()) {
  if (max_body_bytes_.has_value() && left_ > *max_body_bytes_) Fail(Reason::kBodyTooLarge);
}

RequestReader::~RequestReader() {
  if (body_ != nullptr) body_->reader_ = nullptr;
}

std::unique_ptr<http::Body> RequestReader::NewBody() {
  if (!framing_.has_body()) return nullptr;
  auto body = std::make_unique<BodyImpl>(*this);
  body_ = body.get();
  return body;
}

std::string_view RequestReader::unread() const {
  const std::string_view behind_head = head_buffer_.view().substr(head_offset_);
  return behind_head.empty() ? body_buffer_.view() : behind_head;
}

void RequestReader::Skip(size_t bytes) {
  const size_t behind_head = std::min(bytes, head_buffer_.size() - head_offset_);
  head_offset_ += behind_head;
  bytes -= behind_head;
  if (bytes > 0) body_buffer_.Consume(bytes);
}

net::IoStatus RequestReader::Receive() {
  net::ReadBuffer* buffer = &head_buffer_;
  if (!body_buffer_.has_block() && head_buffer_.room() == 0 && head_offset_ < head_buffer_.size()) {
    // Requests that follow one another stay in one piece: the second buffer holds what follows the
    // head only when nothing of that is left in the first.
    socket_.PauseReading();
    return net::IoStatus::kOk;
  }
  if (body_buffer_.has_block() || head_buffer_.room() == 0 ||
      (!is_done_ && !fits_behind_head_ && unread().empty())) {
    buffer = &body_buffer_;
    // Bytes that were handed out must stay where they are until the next read.
    const bool may_move = taken_ == 0 || !body_buffer_.has_block();
    if (body_buffer_.is_full() || (!may_move && body_buffer_.room() == 0)) {
      socket_.PauseReading();
      return net::IoStatus::kOk;
    }
    if (is_done_ && body_buffer_.size() >= net::BufferPool::kSmallBytes) {
      socket_.PauseReading();  // pipelined requests wait in the kernel
      return net::IoStatus::kOk;
    }
    body_buffer_.Prepare(pool_, net::BlockSize::kLarge);
  }
  const net::IoResult result = socket_.Receive(buffer->room_begin(), buffer->room());
  if (buffer == &body_buffer_ && body_buffer_.empty() && result.status != net::IoStatus::kOk) {
    body_buffer_.Clear();
  }
  if (result.status != net::IoStatus::kOk) return result.status;
  buffer->Commit(result.bytes);
  if (is_waiting_) {
    readable_.NotifyFromLoop();
  } else if (!is_done_) {
    readable_.Notify();
  }
  return net::IoStatus::kOk;
}

void RequestReader::OnEndOfStream() {
  is_ended_ = true;
  readable_.Notify();
}

void RequestReader::Fail(Reason reason) {
  if (failure_ == Reason::kNone) failure_ = reason;
  readable_.Notify();
}

std::string_view RequestReader::Decode(std::string_view input, size_t& consumed) {
  const ChunkedDecoder::Step step = decoder_.Next(input);
  consumed = step.consumed;
  if (step.status == ChunkedDecoder::Status::kDone) is_done_ = true;
  if (step.status == ChunkedDecoder::Status::kError) failure_ = Reason::kBadRequest;
  return step.status == ChunkedDecoder::Status::kData ? step.data : std::string_view();
}

std::string_view RequestReader::Take() {
  Skip(std::exchange(taken_, 0));
  std::string_view data;
  while (data.empty() && !is_done_ && failure_ == Reason::kNone) {
    const std::string_view input = unread();
    if (framing_.kind == BodyKind::kLength) {
      data = input.substr(0, std::min<uint64_t>(left_, input.size()));
      left_ -= data.size();
      taken_ = data.size();
      is_done_ = left_ == 0;
      break;
    }
    if (input.empty()) break;
    size_t consumed = 0;
    data = Decode(input, consumed);
    if (data.empty()) {
      Skip(consumed);
    } else {
      taken_ = consumed;
    }
  }
  body_bytes_ += data.size();
  if (max_body_bytes_.has_value() && body_bytes_ > *max_body_bytes_) {
    failure_ = Reason::kBodyTooLarge;
  }
  return data;
}

std::optional<ChunkResult> RequestReader::TryRead() {
  if (is_waiting_) return std::nullopt;
  const std::string_view data = Take();
  const Reason reason = failure_ == Reason::kNone && data.empty() && !is_done_ && is_ended_
                            ? Reason::kBadRequest
                            : failure_;
  if (reason != Reason::kNone) {
    return Failure{.reason = reason, .phase = Phase::kLocal, .executed = Executed::kNo};
  }
  if (!data.empty() || is_done_) return Chunk{data, is_done_};
  return std::nullopt;
}

Task<ChunkResult> RequestReader::Read() {
  for (;;) {
    std::optional<ChunkResult> ready = TryRead();
    if (ready.has_value()) co_return *std::move(ready);
    if (std::exchange(owes_continue_, false)) owner_.SendContinue();
    socket_.ResumeReading();
    is_waiting_ = true;
    owner_.OnBodyWait(true);
    co_await readable_.Wait();
    is_waiting_ = false;
    owner_.OnBodyWait(false);
  }
}

std::optional<std::string_view> RequestReader::Peek() const {
  if (framing_.kind != BodyKind::kLength || taken_ != 0 || failure_ != Reason::kNone) {
    return std::nullopt;
  }
  const std::string_view behind_head = head_buffer_.view().substr(head_offset_);
  if (behind_head.size() < left_) return std::nullopt;
  return behind_head.substr(0, left_);
}

bool RequestReader::DiscardReceived() {
  while (!is_done_ && failure_ == Reason::kNone && !Take().empty()) {
  }
  if (is_done_) Skip(std::exchange(taken_, 0));
  return is_done_;
}

void RequestReader::LeaveRest() {
  head_buffer_.Consume(head_offset_);
  head_offset_ = 0;
  if (head_buffer_.empty() && body_buffer_.has_block()) {
    head_buffer_ = std::move(body_buffer_);
  }
}

}  // namespace outrigger::http1
