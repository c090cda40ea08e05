// The service at the end of a real chain, in place of the router: each attempt takes the next
// answer of a script and waits at every point where the router would.
//
//   ScriptedService service(loop, journal);
//   service.Answer({.status = 503});
//   service.Answer({.headers = {kEventStream}, .pieces = {"data: ...\n\n", "data: [DONE]\n\n"}});
//   parts.new_router = [&](const std::string&) { return service.NewEnd(); };
//
// It counts what is alive: a connection lives from the attempt's begin until its answer's body is
// let go. One thread; outlives the chains that end in it.

#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "proxy/chain/access_log.h"
#include "proxy/chain/filter.h"
#include "proxy/event/loop.h"
#include "tests/proxy/chain/fake_service_stream.h"
#include "tests/proxy/chain/fake_stream.h"

namespace outrigger::chain {

struct ServiceAnswer {
  // Each before what it is named after. Zero: at once.
  absl::Duration connect_takes = absl::Milliseconds(1);
  absl::Duration head_takes = absl::Milliseconds(1);
  absl::Duration piece_takes = absl::Milliseconds(1);

  std::optional<http::Failure> failure;  // in place of a connection or of the head, by its phase
  int interim = 0;                       // a status to send before the head
  bool is_early = false;                 // the head comes before the request's body is read
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::vector<std::string> pieces;                                      // of the body; empty: none
  std::vector<std::pair<std::string_view, std::string_view>> trailers;  // static text
  bool hangs = false;               // after the last piece, or before the head when there is none
  bool is_cut = false;              // after the last piece the body fails
  bool opens_tunnel = false;        // with status 101: see ScriptedService::tunnel()
  std::vector<std::string> leases;  // held by the answer, in this order; they write to the journal
};

class ScriptedService {
 public:
  ScriptedService(Loop& loop, Journal& journal) : loop_(loop), journal_(journal) {}

  void Answer(ServiceAnswer answer) { script_.push_back(std::move(answer)); }
  // For every attempt when the script is used up.
  void AnswerAlways(ServiceAnswer answer) { fallback_ = std::move(answer); }
  std::unique_ptr<Filter> NewEnd() { return std::make_unique<End>(*this); }

  int attempts() const { return attempts_; }
  int live_connections() const { return live_connections_; }
  // The bodies of requests, as far as they were read, attempt by attempt.
  const std::vector<std::string>& received() const { return received_; }
  // The service's side of the tunnel that was opened last. REQUIRES: it is open.
  FakeServiceStream& tunnel() { return *tunnel_; }

 private:
  struct Connection : Pooled {
    explicit Connection(ScriptedService& its_owner) : owner(its_owner) {
      ++owner.live_connections_;
    }
    ~Connection() {
      --owner.live_connections_;
      owner.journal_.push_back("connection");
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ScriptedService& owner;
  };

  class NamedLease final : public http::Lease {
   public:
    NamedLease(Journal& journal, std::string name) : journal_(journal), name_(std::move(name)) {}
    ~NamedLease() override { journal_.push_back("lease " + name_ + " gone"); }
    void OnStreamEnd(http::StreamOutcome outcome) override {
      journal_.push_back("lease " + name_ + " told " + std::string(StreamOutcomeName(outcome)));
    }

   private:
    Journal& journal_;
    const std::string name_;
  };

  class AnswerBody final : public http::Body {
   public:
    AnswerBody(ServiceAnswer answer, std::unique_ptr<Connection> connection)
        : answer_(std::move(answer)), connection_(std::move(connection)) {
      for (const auto& [name, value] : answer_.trailers) trailers_.Add(name, value);
    }

    Task<http::ChunkResult> Read() override {
      co_await loop().Sleep(answer_.piece_takes);
      if (next_ < answer_.pieces.size()) {
        const bool is_last =
            next_ + 1 == answer_.pieces.size() && !answer_.hangs && !answer_.is_cut;
        const std::string_view data = answer_.pieces[next_++];
        co_return http::Chunk{data, is_last};
      }
      if (answer_.hangs) co_await loop().Sleep(absl::Hours(100'000));
      co_return http::Failure{.reason = http::Reason::kUpstreamReset,
                              .phase = http::Phase::kBody,
                              .executed = http::Executed::kMaybe};
    }
    const http::HeaderList* trailers() const override {
      return trailers_.empty() ? nullptr : &trailers_;
    }

   private:
    Loop& loop() const { return connection_->owner.loop_; }

    const ServiceAnswer answer_;
    const std::unique_ptr<Connection> connection_;
    http::HeaderList trailers_;
    size_t next_ = 0;
  };

  class TunnelBody final : public http::Body {
   public:
    TunnelBody(ScriptedService& owner, std::unique_ptr<Connection> connection)
        : connection_(std::move(connection)), stream_(owner.loop_, owner.journal_) {
      owner.tunnel_ = &stream_;
    }
    FakeServiceStream& stream() { return stream_; }
    std::optional<http::ChunkResult> TryRead() override { return stream_.TryReadBody(); }
    Task<http::ChunkResult> Read() override { return stream_.ReadBody(); }

   private:
    const std::unique_ptr<Connection> connection_;
    FakeServiceStream stream_;
  };

  class End final : public Filter {
   public:
    explicit End(ScriptedService& service) : service_(service) {}
    Task<http::Result> Call(http::Request& request, Next) override {
      return service_.Attempt(request);
    }

   private:
    ScriptedService& service_;
  };

  Task<http::Result> Attempt(http::Request& request) {
    ++attempts_;
    ++request.record.attempts;
    received_.emplace_back();
    const size_t number = received_.size() - 1;
    ServiceAnswer answer = TakeAnswer();
    auto connection = std::make_unique<Connection>(*this);
    co_await loop_.Sleep(answer.connect_takes);
    const bool has_failure = answer.failure.has_value();
    if (has_failure && answer.failure->phase <= http::Phase::kConnect) co_return *answer.failure;
    while (!request.dispatch_hooks.empty()) {
      http::DispatchHook& hook = request.dispatch_hooks.front();
      hook.Unlink();
      std::optional<http::Failure> refused = co_await hook.BeforeDispatch(request);
      if (refused.has_value()) co_return *refused;
    }
    request.was_dispatched = true;
    bool has_more = request.body != nullptr && !answer.is_early;
    while (has_more) {
      http::ChunkResult chunk = co_await request.body->Read();
      if (!chunk.ok()) co_return chunk.error();
      received_[number] += chunk->data;
      has_more = !chunk->is_last;
    }
    request.is_sent_whole = !answer.is_early;
    co_await loop_.Sleep(answer.head_takes);
    if (has_failure) co_return *answer.failure;
    if (answer.interim != 0 && request.informational != nullptr) {
      request.informational->OnInformational(answer.interim, request.headers);
    }
    if (answer.hangs && answer.pieces.empty()) co_await loop_.Sleep(absl::Hours(100'000));
    request.record.upstream_status = answer.status;
    http::Response response;
    response.status = answer.status;
    for (const auto& [name, value] : answer.headers) {
      response.headers.Add(request.arena->Copy(name), request.arena->Copy(value));
    }
    response.has_body = !answer.pieces.empty() && request.method != http::Method::kHead;
    for (const std::string& name : answer.leases) {
      response.Hold(std::make_unique<NamedLease>(journal_, name));
    }
    if (answer.opens_tunnel) {
      auto body = std::make_unique<TunnelBody>(*this, std::move(connection));
      response.tunnel = &body->stream();
      response.has_body = true;
      response.body = std::move(body);
      co_return response;
    }
    response.body = std::make_unique<AnswerBody>(std::move(answer), std::move(connection));
    co_return response;
  }

  ServiceAnswer TakeAnswer() {
    if (script_.empty()) return fallback_;
    ServiceAnswer answer = std::move(script_.front());
    script_.pop_front();
    return answer;
  }

  Loop& loop_;
  Journal& journal_;
  std::deque<ServiceAnswer> script_;
  ServiceAnswer fallback_;
  std::vector<std::string> received_;
  FakeServiceStream* tunnel_ = nullptr;
  int attempts_ = 0;
  int live_connections_ = 0;
};

}  // namespace outrigger::chain
