#include "proxy/http1/tunnel_reader.h"

#include <utility>

namespace outrigger::http1 {

using http::Chunk;
using http::ChunkResult;
using http::Failure;

class TunnelReader::BodyImpl final : public http::Body {
 public:
  explicit BodyImpl(TunnelReader& reader) : reader_(&reader) {}
  ~BodyImpl() override {
    if (reader_ != nullptr) reader_->body_ = nullptr;
  }

  Task<ChunkResult> Read() override {
    if (reader_ == nullptr) return ReaderGone();
    return reader_->Read();
  }

 private:
  friend class TunnelReader;

  static Task<ChunkResult> ReaderGone() {
    co_return Failure{.reason = http::Reason::kRequestTimeout};
  }

  TunnelReader* reader_;
};

TunnelReader::TunnelReader(Loop& loop, net::BufferPool& pool, net::Socket& socket,
                           net::ReadBuffer received)
    : pool_(pool), socket_(socket), buffer_(std::move(received)), readable_(loop) {}

TunnelReader::~TunnelReader() {
  if (body_ != nullptr) body_->reader_ = nullptr;
}

std::unique_ptr<http::Body> TunnelReader::NewBody() {
  auto body = std::make_unique<BodyImpl>(*this);
  body_ = body.get();
  return body;
}

net::IoStatus TunnelReader::Receive() {
  if (!is_waiting_) {
    socket_.PauseReading();
    return net::IoStatus::kAgain;
  }
  buffer_.Prepare(pool_, net::BlockSize::kSmall);
  const net::IoResult result = socket_.Receive(buffer_.room_begin(), buffer_.room());
  if (result.status == net::IoStatus::kOk) {
    buffer_.Commit(result.bytes);
  } else {
    buffer_.Clear();
  }
  if (result.status == net::IoStatus::kEnd) {
    has_ended_ = true;
    socket_.PauseReading();
  }
  if (result.status == net::IoStatus::kOk || has_ended_) readable_.NotifyFromLoop();
  return result.status;
}

Task<ChunkResult> TunnelReader::Read() {
  buffer_.Consume(std::exchange(taken_, 0));
  while (buffer_.empty() && !has_ended_) {
    is_waiting_ = true;
    socket_.ResumeReading();
    co_await readable_.Wait();
    is_waiting_ = false;
  }
  taken_ = buffer_.size();
  co_return Chunk{buffer_.view(), has_ended_ && buffer_.empty()};
}

}  // namespace outrigger::http1
