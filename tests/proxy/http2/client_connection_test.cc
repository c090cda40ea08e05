// The client side against a service of nghttp2 on the other end of a socket pair, on the real loop.

#include "proxy/http2/client_connection.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/proxy/net/support.h"

namespace outrigger::http2 {
namespace {

using http::Executed;
using http::Failure;
using http::Phase;
using http::Reason;
using End = ClientConnection::End;
using Answer = Expected<http::ReceivedHead, Failure>;

// Does what a test tells it to, and writes down what it hears.
class Service {
 public:
  explicit Service(net::Fd fd, uint32_t max_streams = 100) : fd_(std::move(fd)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, OnFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, OnData);
    nghttp2_session_server_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry setting = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max_streams};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &setting, 1);
  }
  ~Service() { nghttp2_session_del(session_); }

  // Takes what has come and sends what is to be sent.
  void Turn() {
    const std::string bytes = net::ReadAvailable(fd_.get());
    const ssize_t taken = nghttp2_session_mem_recv(
        session_, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
    EXPECT_EQ(taken, static_cast<ssize_t>(bytes.size()));
    const uint8_t* out = nullptr;
    for (ssize_t count; (count = nghttp2_session_mem_send(session_, &out)) > 0;) {
      EXPECT_EQ(send(fd_.get(), out, static_cast<size_t>(count), MSG_NOSIGNAL), count);
      sent_bytes += static_cast<uint64_t>(count);
    }
  }

  // `body` unset: the answer goes on.
  void Respond(int32_t stream, const std::string& status, std::optional<std::string> body = "") {
    static const std::string kName = ":status";
    nghttp2_nv fields[] = {Field(kName, status)};
    bodies_[stream] = body.value_or("");
    const nghttp2_data_provider provider = {{.ptr = &bodies_[stream]}, OnRead};
    if (!body.has_value()) {
      nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream, nullptr, fields, 1, nullptr);
    } else {
      nghttp2_submit_response(session_, stream, fields, 1, &provider);
    }
    Turn();
  }
  void Reset(int32_t stream, uint32_t code) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, code);
    Turn();
  }
  void GoAway(int32_t last) {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, nullptr, 0);
    Turn();
  }
  void Close() { fd_.Close(); }

  int32_t stream_window(int32_t stream) const {
    return nghttp2_session_get_stream_remote_window_size(session_, stream);
  }

  std::map<int32_t, std::string> requests;  // "name: value\n"... and then the body
  std::map<int32_t, uint32_t> resets;
  std::vector<int32_t> ended;
  uint64_t sent_bytes = 0;
  int pings = 0;
  bool has_goaway = false;

 private:
  static uint8_t* Bytes(const std::string& text) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
  }
  static nghttp2_nv Field(const std::string& name, const std::string& value) {
    return {Bytes(name), Bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
  }
  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_size, const uint8_t* value, size_t value_size, uint8_t,
                      void* self) {
    static_cast<Service*>(self)->requests[frame->hd.stream_id] +=
        std::string(name, name + name_size) + ": " + std::string(value, value + value_size) + "\n";
    return 0;
  }
  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Service& self = *static_cast<Service*>(user_data);
    const bool is_ack = (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0;
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
      self.resets[frame->hd.stream_id] = frame->rst_stream.error_code;
    } else if (frame->hd.type == NGHTTP2_PING && !is_ack) {
      ++self.pings;
    } else if (frame->hd.type == NGHTTP2_GOAWAY) {
      self.has_goaway = true;
    } else if (frame->hd.type <= NGHTTP2_HEADERS && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
      self.ended.push_back(frame->hd.stream_id);
    }
    return 0;
  }
  static int OnData(nghttp2_session*, uint8_t, int32_t stream, const uint8_t* data, size_t size,
                    void* self) {
    static_cast<Service*>(self)->requests[stream].append(data, data + size);
    return 0;
  }
  static ssize_t OnRead(nghttp2_session*, int32_t, uint8_t* buffer, size_t length, uint32_t* flags,
                        nghttp2_data_source* source, void*) {
    auto& left = *static_cast<std::string*>(source->ptr);
    const size_t bytes = std::min(length, left.size());
    left.copy(reinterpret_cast<char*>(buffer), bytes);
    left.erase(0, bytes);
    if (left.empty()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(bytes);
  }

  net::Fd fd_;
  nghttp2_session* session_ = nullptr;
  std::map<int32_t, std::string> bodies_;
};

// A request whose answer's head is waited for.
struct Asked {
  ClientStreamPtr stream;
  http::HeaderList headers;
  std::optional<Answer> answer;
  Task<void> task;

  ~Asked() { task.Reset(); }
};

Task<void> ReadHead(Asked& asked) {
  Answer answer = co_await asked.stream->ReadHead(asked.headers, nullptr);
  asked.answer.emplace(std::move(answer));
}

Task<void> ReadAll(ClientStream& stream, size_t& read) {
  for (bool is_last = false; !is_last;) {
    http::ChunkResult chunk = co_await stream.ReadBody();
    if (!chunk.ok()) co_return;
    read += chunk->data.size();
    is_last = chunk->is_last;
  }
}

class ClientConnectionTest : public testing::Test, public ClientConnection::Owner {
 protected:
  ~ClientConnectionTest() override {
    if (connection_ != nullptr) connection_->CloseNow();
    loop_.RunPending();
  }

  void Make(uint32_t max_streams = 100) {
    net::Connected pair = net::UnixPair();
    service_ = std::make_unique<Service>(std::move(pair.peer), max_streams);
    connection_ = new ClientConnection(
        loop_, pool_, pair.ours,
        {connect_timeouts_, connect_timeouts_, settings_timeouts_, idle_timeouts_}, plain_, *this);
  }
  void Open(uint32_t max_streams = 100) {
    Make(max_streams);
    ASSERT_TRUE(Until([this] { return connection_->is_open(); }));
  }
  // Both sides go on until then.
  bool Until(const std::function<bool()>& is_done) {
    return net::RunUntil(loop_, [&] {
      if (!is_stalled_) service_->Turn();
      return is_done();
    });
  }

  std::unique_ptr<Asked> Ask(bool has_body = false) {
    // What the service has said by now, it has not said after this request.
    EXPECT_TRUE(Until([this] { return connection_->received_bytes() == service_->sent_bytes; }));
    auto asked = std::make_unique<Asked>();
    asked->stream = connection_->NewStream();
    http::RequestHeadToSend head;
    head.method = http::Method::kPost;
    head.method_name = "POST";
    head.target = "/x";
    head.scheme = "http";
    head.authority = "a";
    head.headers = &request_headers_;
    head.has_body = has_body;
    EXPECT_TRUE(asked->stream->SendHead(head));
    asked->task = ReadHead(*asked);
    asked->task.Start();
    return asked;
  }
  std::unique_ptr<Asked> AskAndArrive(int32_t id) {
    std::unique_ptr<Asked> asked = Ask();
    EXPECT_TRUE(Until([&] { return service_->requests.contains(id); }));
    return asked;
  }
  Failure FailureOf(Asked& asked) {
    EXPECT_TRUE(Until([&] { return asked.answer.has_value(); }));
    EXPECT_FALSE(asked.answer->ok());
    return asked.answer->error();
  }

  void OnOpen(ClientConnection&) override { ++opened_; }
  void OnChange(ClientConnection&) override {}
  void OnEnd(ClientConnection&, End end) override {
    connection_ = nullptr;
    end_ = end;
  }

  EventLoop loop_;
  MemoryBudget budget_{64 << 20};
  net::BufferPool pool_{budget_};
  DeadlineQueue connect_timeouts_{loop_, absl::Seconds(5)};
  const ClientConnection::NewSession plain_;
  DeadlineQueue settings_timeouts_{loop_, absl::Milliseconds(100)};
  DeadlineQueue idle_timeouts_{loop_, absl::Seconds(5)};
  http::HeaderList request_headers_;
  std::unique_ptr<Service> service_;
  ClientConnection* connection_ = nullptr;
  std::optional<End> end_;
  int opened_ = 0;
  bool is_stalled_ = false;  // the service
};

TEST_F(ClientConnectionTest, GivesOutStreamsOnceTheSettingsHaveCome) {
  Make(7);
  EXPECT_EQ(connection_->room(), 0u);
  ASSERT_TRUE(Until([this] { return connection_->is_open(); }));
  EXPECT_EQ(opened_, 1);
  EXPECT_EQ(connection_->room(), 7u);
  const ClientStreamPtr stream = connection_->NewStream();
  EXPECT_EQ(connection_->room(), 6u);
}

TEST_F(ClientConnectionTest, EndsWhenTheServiceDoesNotGreet) {
  Make();
  is_stalled_ = true;
  ASSERT_TRUE(Until([this] { return end_.has_value(); }));
  EXPECT_EQ(*end_, End::kConnectFailed);
}

TEST_F(ClientConnectionTest, AnswersRequestsInAnyOrder) {
  Open();
  const auto first = AskAndArrive(1);
  const auto second = AskAndArrive(3);
  EXPECT_FALSE(first->stream->is_reused());
  EXPECT_TRUE(second->stream->is_reused());
  service_->Respond(3, "201", "two");
  ASSERT_TRUE(Until([&] { return second->answer.has_value(); }));
  ASSERT_TRUE(second->answer->ok()) << http::ReasonName(second->answer->error().reason);
  EXPECT_EQ(second->answer->value().status, 201);
  EXPECT_FALSE(first->answer.has_value());
  service_->Respond(1, "200", "one");
  ASSERT_TRUE(Until([&] { return first->answer.has_value(); }));
  ASSERT_TRUE(first->answer->ok());
  const std::optional<http::ChunkResult> chunk = first->stream->TryReadBody();
  ASSERT_TRUE(chunk.has_value() && chunk->ok());
  EXPECT_EQ((*chunk)->data, "one");
  EXPECT_TRUE((*chunk)->is_last);
}

TEST_F(ClientConnectionTest, SaysWhatFailedAndWhetherItMayHaveBeenExecuted) {
  Open();
  const auto refused = AskAndArrive(1);
  service_->Reset(1, NGHTTP2_REFUSED_STREAM);
  Failure failure = FailureOf(*refused);
  EXPECT_EQ(failure.reason, Reason::kUpstreamReset);
  EXPECT_EQ(failure.executed, Executed::kNo);
  EXPECT_FALSE(failure.on_reused_connection);

  const auto reset = AskAndArrive(3);
  service_->Reset(3, NGHTTP2_CANCEL);
  failure = FailureOf(*reset);
  EXPECT_EQ(failure.reason, Reason::kUpstreamReset);
  EXPECT_EQ(failure.phase, Phase::kAwaitingHead);
  EXPECT_EQ(failure.executed, Executed::kMaybe);

  const auto bad = AskAndArrive(5);
  service_->Respond(5, "99");
  failure = FailureOf(*bad);
  EXPECT_EQ(failure.reason, Reason::kUpstreamProtocol);
  EXPECT_EQ(failure.executed, Executed::kMaybe);

  const auto running = AskAndArrive(7);
  const auto above = AskAndArrive(9);
  service_->GoAway(7);
  failure = FailureOf(*above);
  EXPECT_EQ(failure.executed, Executed::kNo);
  EXPECT_TRUE(failure.on_reused_connection);
  EXPECT_EQ(connection_->room(), 0u);
  EXPECT_FALSE(running->answer.has_value());
  service_->Respond(7, "200");
  ASSERT_TRUE(Until([&] { return running->answer.has_value() && end_.has_value(); }));
  EXPECT_TRUE(running->answer->ok());
}

TEST_F(ClientConnectionTest, TellsASilentCloseOfAReusedConnection) {
  Open();
  const auto served = AskAndArrive(1);
  service_->Respond(1, "200");
  ASSERT_TRUE(Until([&] { return served->answer.has_value(); }));
  const auto lost = AskAndArrive(3);
  is_stalled_ = true;
  service_->Close();
  const Failure failure = FailureOf(*lost);
  EXPECT_EQ(failure.executed, Executed::kMaybe);
  EXPECT_TRUE(failure.on_reused_connection);
  EXPECT_EQ(end_, End::kByService);
}

TEST_F(ClientConnectionTest, GivesBackTheConnectionsWindowAtOnceAndAStreamsWhenItIsRead) {
  Open();
  // As many as would use up the window of the connection.
  std::vector<std::unique_ptr<Asked>> unread;
  for (int32_t id = 1; id <= 33; id += 2) {
    unread.push_back(AskAndArrive(id));
    service_->Respond(id, "200", std::string(200'000, 'x'));
    ASSERT_TRUE(Until([&] { return unread.back()->answer.has_value(); }));
    ASSERT_TRUE(Until([&] { return service_->stream_window(id) == 0; }));
  }
  const auto asked = AskAndArrive(35);
  service_->Respond(35, "200", std::string(200'000, 'y'));
  ASSERT_TRUE(Until([&] { return asked->answer.has_value(); }));
  size_t read = 0;
  Task<void> reading = ReadAll(*asked->stream, read);
  reading.Start();
  ASSERT_TRUE(Until([&] { return reading.is_done(); }));
  EXPECT_EQ(read, 200'000u);
}

TEST_F(ClientConnectionTest, CancelsAStreamThatIsLetGoAndKeepsTheConnection) {
  Open();
  auto asked = AskAndArrive(1);
  asked.reset();
  ASSERT_TRUE(Until([&] { return service_->resets.contains(1); }));
  EXPECT_EQ(service_->resets[1], static_cast<uint32_t>(NGHTTP2_CANCEL));
  ASSERT_TRUE(Until([&] { return connection_->open_streams() == 0; }));
  EXPECT_TRUE(connection_->is_idle());
}

TEST_F(ClientConnectionTest, AsksForASignOfLifeWhenARequestWasGivenUpInSilence) {
  Open();
  auto asked = AskAndArrive(1);
  asked.reset();
  ASSERT_TRUE(Until([&] { return service_->pings == 1; }));
  net::RunFor(loop_, 2 * settings_timeouts_.timeout());
  EXPECT_FALSE(end_.has_value()) << "the service has answered";

  auto lost = AskAndArrive(3);
  is_stalled_ = true;
  lost.reset();
  ASSERT_TRUE(Until([&] { return end_.has_value(); }));
  EXPECT_EQ(*end_, End::kByUs);
}

TEST_F(ClientConnectionTest, AsksForNoMoreSignsOfLifeThanServersPutUpWith) {
  Open();
  int32_t id = 1;
  int expected = 0;
  for (int round = 0; round < 2; ++round) {
    for (int silent = 0; silent < 6; ++silent, id += 2) {
      auto asked = AskAndArrive(id);
      asked.reset();
      ASSERT_TRUE(Until([&] { return service_->resets.count(id) != 0; }));
      expected += silent < 2 ? 1 : 0;
      ASSERT_TRUE(Until([&] { return service_->pings == expected; })) << id;
    }
    auto answered = AskAndArrive(id);
    service_->Respond(id, "200");
    ASSERT_TRUE(Until([&] { return answered->answer.has_value(); }));
    id += 2;
  }
  EXPECT_FALSE(end_.has_value());
}

TEST_F(ClientConnectionTest, StreamsMayOutliveTheirConnection) {
  Open();
  const auto asked = AskAndArrive(1);
  const ClientStreamPtr unused = connection_->NewStream();
  connection_->CloseNow();
  connection_ = nullptr;
  const Failure failure = FailureOf(*asked);
  EXPECT_EQ(failure.reason, Reason::kUpstreamReset);
  EXPECT_FALSE(unused->SendData("x"));
  EXPECT_EQ(unused->pending_bytes(), 0u);
  asked->stream->Abort();
  net::RunFor(loop_, absl::Milliseconds(1));
}

TEST_F(ClientConnectionTest, SaysGoodbyeWhenIdleForTooLong) {
  Make();
  DeadlineQueue idle(loop_, absl::Milliseconds(20));
  connection_->CloseNow();
  loop_.RunPending();
  net::Connected pair = net::UnixPair();
  service_ = std::make_unique<Service>(std::move(pair.peer));
  connection_ = new ClientConnection(
      loop_, pool_, pair.ours, {connect_timeouts_, connect_timeouts_, settings_timeouts_, idle},
      plain_, *this);
  ASSERT_TRUE(Until([this] { return end_.has_value(); }));
  EXPECT_EQ(*end_, End::kByUs);
  service_->Turn();
  EXPECT_TRUE(service_->has_goaway);
}

TEST_F(ClientConnectionTest, SendsABodyAsWindowsAllow) {
  Open();
  const auto asked = Ask(/*has_body=*/true);
  const std::string body(300'000, 'b');
  EXPECT_TRUE(asked->stream->SendData(body));
  EXPECT_GT(asked->stream->pending_bytes(), 0u);
  EXPECT_TRUE(asked->stream->Finish(nullptr));
  ASSERT_TRUE(Until([&] { return !service_->ended.empty(); }));
  EXPECT_TRUE(service_->requests[1].ends_with(body));
  EXPECT_EQ(asked->stream->pending_bytes(), 0u);
}

}  // namespace
}  // namespace outrigger::http2
