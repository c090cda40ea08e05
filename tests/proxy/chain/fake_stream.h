// The client's side of one exchange, as the codec would offer it to the stream driver: it keeps
// what is sent, in order, and can stop taking it.
//
//   FakeStream stream(loop, journal);
//   driver->Start(stream);
//   EXPECT_EQ(stream.body(), "hello");
//   stream.SetTaking(false);     // what is sent from now on stays pending, as in a full socket
//
// One thread. The journal belongs to the test and outlives the stream.

#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "proxy/http/server_stream.h"

namespace outrigger::chain {

// What happened, in order, to the parts that a test looks at.
using Journal = std::vector<std::string>;

class FakeStream final : public http::ServerStream {
 public:
  FakeStream(Loop& loop, Journal& journal)
      : journal_(journal), drained_(loop), tunnel_readable_(loop) {}

  void OnInformational(int status, const http::HeaderList&) override {
    journal_.push_back("interim " + std::to_string(status));
  }
  void SendHead(const http::ResponseHeadToSend& head) override {
    journal_.push_back("head " + std::to_string(head.status));
    status_ = head.status;
    closes_ = head.close;
    for (const http::HeaderField& field : *head.headers) {
      headers_.emplace_back(std::string(field.name), std::string(field.value));
    }
  }
  // The client's bytes are what TunnelSends() was told.
  std::unique_ptr<http::Body> StartTunnel(const http::ResponseHeadToSend& head) override {
    SendHead(head);
    journal_.push_back("tunnel");
    return std::make_unique<TunnelBody>(*this);
  }
  void TunnelSends(std::string_view bytes, bool is_last = false) {
    tunnel_bytes_ += bytes;
    tunnel_ended_ = tunnel_ended_ || is_last;
    tunnel_readable_.Notify();
  }
  void SendData(std::string_view data, bool is_last) override {
    if (!data.empty()) journal_.push_back("data");
    body_ += data;
    if (!is_taking_) pending_ += data.size();
    has_last_ = has_last_ || is_last;
  }
  void Finish(const http::HeaderList* trailers) override {
    journal_.push_back(trailers == nullptr ? "finish" : "finish with trailers");
    ++ends_;
    if (trailers == nullptr) return;
    for (const http::HeaderField& field : *trailers) {
      trailers_.emplace_back(std::string(field.name), std::string(field.value));
    }
  }
  void Abort() override {
    journal_.push_back("abort");
    is_aborted_ = true;
    ++ends_;
  }
  size_t pending_bytes() const override { return pending_; }
  Signal& drained() override { return drained_; }
  bool is_head_sent() const override { return status_ != 0; }

  // The client takes what it is sent, or nothing more.
  void SetTaking(bool is_taking) {
    is_taking_ = is_taking;
    if (!is_taking || pending_ == 0) return;
    pending_ = 0;
    drained_.Notify();
  }

  int status() const { return status_; }
  const std::string& body() const { return body_; }
  bool closes() const { return closes_; }
  bool is_over() const { return ends_ > 0; }
  bool is_aborted() const { return is_aborted_; }
  // The last piece was sent.
  bool has_last() const { return has_last_; }
  int ends() const { return ends_; }
  // Empty when absent.
  std::string header(std::string_view name) const { return Find(headers_, name); }
  std::string trailer(std::string_view name) const { return Find(trailers_, name); }

 private:
  using Fields = std::vector<std::pair<std::string, std::string>>;

  static std::string Find(const Fields& fields, std::string_view name) {
    for (const auto& [key, value] : fields) {
      if (http::EqualsIgnoreCase(key, name)) return value;
    }
    return "";
  }

  class TunnelBody final : public http::Body {
   public:
    explicit TunnelBody(FakeStream& stream) : stream_(stream) {}
    Task<http::ChunkResult> Read() override {
      while (stream_.tunnel_bytes_.empty() && !stream_.tunnel_ended_) {
        co_await stream_.tunnel_readable_.Wait();
      }
      handed_out_ = std::exchange(stream_.tunnel_bytes_, {});
      co_return http::Chunk{handed_out_, stream_.tunnel_ended_};
    }

   private:
    FakeStream& stream_;
    std::string handed_out_;
  };

  Journal& journal_;
  Signal drained_;
  Signal tunnel_readable_;
  std::string tunnel_bytes_;
  bool tunnel_ended_ = false;
  int status_ = 0;
  Fields headers_;
  Fields trailers_;
  std::string body_;
  size_t pending_ = 0;
  int ends_ = 0;
  bool closes_ = false;
  bool is_taking_ = true;
  bool is_aborted_ = false;
  bool has_last_ = false;
};

}  // namespace outrigger::chain
