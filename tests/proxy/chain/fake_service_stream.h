// The service's side of a tunnel, as the codec would offer it: keeps what it is sent, and is a body
// that the test fills.
//
//   FakeServiceStream service(loop, journal);
//   service.Says("hello");            // what the service sends
//   EXPECT_EQ(service.sent(), "hi");  // what it was sent
//
// One thread. The journal belongs to the test and outlives the stream.

#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/http/client_stream.h"
#include "tests/proxy/chain/fake_stream.h"

namespace outrigger::chain {

class FakeServiceStream final : public http::ClientStream {
 public:
  FakeServiceStream(Loop& loop, Journal& journal)
      : journal_(journal), drained_(loop), readable_(loop), continued_(loop) {}

  void Says(std::string_view bytes, bool is_last = false) {
    bytes_ += bytes;
    has_ended_ = has_ended_ || is_last;
    readable_.Notify();
  }
  void Breaks() {
    is_broken_ = true;
    readable_.Notify();
  }
  // Takes what it is sent, or nothing more.
  void SetTaking(bool is_taking) {
    is_taking_ = is_taking;
    if (!is_taking || pending_ == 0) return;
    pending_ = 0;
    drained_.Notify();
  }
  const std::string& sent() const { return sent_; }
  bool is_finished() const { return is_finished_; }

  // http::ClientStream
  bool allows_tunnels() const override { return true; }
  bool SendHead(const http::RequestHeadToSend&) override { std::abort(); }
  bool SendData(std::string_view data) override {
    if (is_broken_) return false;
    sent_ += data;
    if (!is_taking_) pending_ += data.size();
    return true;
  }
  bool Finish(const http::HeaderList*) override {
    journal_.push_back("service finish");
    is_finished_ = true;
    return true;
  }
  size_t pending_bytes() const override { return pending_; }
  Signal& drained() override { return drained_; }
  Task<Expected<http::ReceivedHead, http::Failure>> ReadHead(http::HeaderList&,
                                                             http::InformationalSink*) override {
    std::abort();
  }
  Signal& continued() override { return continued_; }
  bool has_final_head() const override { return true; }
  std::optional<http::ChunkResult> TryReadBody() override {
    if (bytes_.empty() && is_broken_) {
      return http::Failure{.reason = http::Reason::kUpstreamReset, .phase = http::Phase::kBody};
    }
    if (bytes_.empty() && !has_ended_) return std::nullopt;
    handed_out_ = std::exchange(bytes_, {});
    return http::Chunk{handed_out_, has_ended_};
  }
  Task<http::ChunkResult> ReadBody() override {
    for (;;) {
      std::optional<http::ChunkResult> ready = TryReadBody();
      if (ready.has_value()) co_return *ready;
      co_await readable_.Wait();
    }
  }
  const http::HeaderList* trailers() const override { return nullptr; }
  void Abort() override { Breaks(); }

 private:
  Journal& journal_;
  Signal drained_;
  Signal readable_;
  Signal continued_;
  std::string bytes_;
  std::string handed_out_;
  std::string sent_;
  size_t pending_ = 0;
  bool has_ended_ = false;
  bool is_broken_ = false;
  bool is_taking_ = true;
  bool is_finished_ = false;
};

// What the service sends, as the response's body.
class FakeServiceBody final : public http::Body {
 public:
  explicit FakeServiceBody(FakeServiceStream& stream) : stream_(stream) {}
  std::optional<http::ChunkResult> TryRead() override { return stream_.TryReadBody(); }
  Task<http::ChunkResult> Read() override { return stream_.ReadBody(); }

 private:
  FakeServiceStream& stream_;
};

}  // namespace outrigger::chain
