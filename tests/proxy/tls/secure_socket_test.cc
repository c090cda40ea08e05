// Bytes through the encryption: sizes, small buffers, key updates, ends.

#include <algorithm>

#include "proxy/base/random.h"
#include "tests/proxy/tls/support.h"

namespace outrigger::tls {
namespace {

std::string RandomBytes(Random& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random.Next());
  return bytes;
}

class SecureSocketTest : public TlsPairTest {};

TEST_F(SecureSocketTest, EveryByteArrivesInOrderWhateverTheBuffers) {
  for (uint64_t seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    Open(seed % 3 == 0 ? 0 : 4096);
    ASSERT_TRUE(Handshake());
    server_->read_bytes = 1 + random.Below(40000);
    client_->read_bytes = 1 + random.Below(40000);
    const std::string up = RandomBytes(random, random.Below(400'000));
    const std::string down = RandomBytes(random, random.Below(400'000));
    client_->unsent = up;
    server_->unsent = down;
    client_->OnWritable();
    server_->OnWritable();
    ASSERT_TRUE(net::RunUntil(loop_, [&] {
      return server_->received.size() >= up.size() && client_->received.size() >= down.size();
    }));
    EXPECT_TRUE(server_->received == up);
    EXPECT_TRUE(client_->received == down);
  }
}

TEST_F(SecureSocketTest, GathersPartsAsIfTheyWereOne) {
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    Open(seed % 2 == 0 ? 8192 : 0);
    ASSERT_TRUE(Handshake());
    std::string parts[4];
    std::string expected;
    iovec list[4];
    int count = 0;
    for (std::string& part : parts) {
      const size_t limits[] = {0, 10, 20'000, 70'000};
      part = RandomBytes(random, random.Below(limits[random.Below(4)] + 1));
      expected += part;
      list[count++] = {part.data(), part.size()};
    }
    const net::IoResult result = server_->socket.Send(list, count);
    ASSERT_TRUE(result.status == net::IoStatus::kOk || result.status == net::IoStatus::kAgain);
    server_->unsent = expected.substr(result.bytes);
    server_->OnWritable();
    ASSERT_TRUE(net::RunUntil(loop_, [&] { return client_->received.size() >= expected.size(); }));
    EXPECT_TRUE(client_->received == expected);
  }
}

TEST_F(SecureSocketTest, BytesThatThePauseLeftInTheSessionComeAfterIt) {
  Open();
  ASSERT_TRUE(Handshake());
  server_->read_bytes = 10;
  server_->socket.PauseReading();
  const std::string text(1000, 'x');
  ASSERT_EQ(client_->socket.Send(text).bytes, text.size());
  net::RunFor(loop_, absl::Milliseconds(5));
  EXPECT_EQ(server_->received, "");
  server_->socket.ResumeReading();
  EXPECT_TRUE(net::RunUntil(loop_, [&] { return server_->received.size() >= 10; }));
  server_->socket.PauseReading();
  const size_t before = server_->received.size();
  net::RunFor(loop_, absl::Milliseconds(5));
  EXPECT_EQ(server_->received.size(), before);
  server_->socket.ResumeReading();
  EXPECT_TRUE(net::RunUntil(loop_, [&] { return server_->received == text; }));
}

// Looking whether a record has data takes it from the kernel, which does not tell of it again.
TEST_F(SecureSocketTest, ARecordThatIsMetWithoutRoomComesWhenThereIs) {
  Open();
  ASSERT_TRUE(Handshake());
  client_->has_no_room = true;
  ASSERT_EQ(server_->socket.Send("the last bytes").bytes, 14U);
  net::RunFor(loop_, absl::Milliseconds(5));
  EXPECT_EQ(client_->received, "");
  client_->has_no_room = false;
  client_->socket.ResumeReading();
  EXPECT_TRUE(net::RunUntil(loop_, [&] { return client_->received == "the last bytes"; }));
}

TEST_F(SecureSocketTest, AnOrderlyEndAndACutAreToldApart) {
  for (const bool is_orderly : {true, false}) {
    Open();
    ASSERT_TRUE(Handshake());
    ASSERT_EQ(client_->socket.Send("bye").bytes, 3U);
    client_->socket.Close(/*with_reset=*/!is_orderly);
    ASSERT_TRUE(net::RunUntil(loop_, [&] { return server_->has_ended || server_->has_failed; }));
    EXPECT_EQ(server_->has_ended, is_orderly);
    EXPECT_EQ(server_->has_failed, !is_orderly);
  }
}

TEST_F(SecureSocketTest, ReadingGoesOnAfterOurOwnEnd) {
  Open();
  ASSERT_TRUE(Handshake());
  client_->socket.ShutdownWrite();
  ASSERT_TRUE(net::RunUntil(loop_, [&] { return server_->has_ended; }));
  ASSERT_EQ(server_->socket.Send("answer").bytes, 6U);
  EXPECT_TRUE(net::RunUntil(loop_, [&] { return client_->received == "answer"; }));
}

TEST_F(SecureSocketTest, TicketsDoNotReachTheHandler) {
  Open();
  ASSERT_TRUE(Handshake());
  struct Watched : net::CountingHandler {};
  net::RunFor(loop_, absl::Milliseconds(5));
  EXPECT_EQ(client_->received, "");
  EXPECT_FALSE(client_->has_failed);
}

// What a client sends first.
std::string ClientHello() {
  const SslCtxPtr ctx(SSL_CTX_new(TLS_client_method()));
  const SslPtr ssl(SSL_new(ctx.get()));
  BIO* output = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), output);
  EXPECT_EQ(SSL_connect(ssl.get()), -1);
  ERR_clear_error();
  char* data = nullptr;
  const auto size = static_cast<size_t>(BIO_get_mem_data(output, &data));
  return {data, size};
}

TEST_F(SecureSocketTest, APeerThatSendsAndNeverReadsCostsNoTime) {
  // More than the socket takes, so that the server cannot go on with its part of the handshake.
  Issued issued = ca_.Issue({});
  for (int i = 0; i < 60; ++i) issued.cert += ca_.Issue({.name = "filler"}).cert;
  server_options_.files = Place("server", issued);
  ServerContext context(server_options_);
  ASSERT_TRUE(context.Load().ok());
  net::Connected pair = net::UnixPair(4096);
  End server(loop_, pair.ours);
  server.socket.StartTls(context.NewSession(server.socket.fd(), server_observer_), false);
  // And the beginning of a record that does not come.
  const std::string flight = ClientHello() + std::string("\x16\x03\x03\x40", 4);
  ASSERT_EQ(send(pair.peer.get(), flight.data(), flight.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(flight.size()));
  net::RunFor(loop_, absl::Milliseconds(20));
  const auto cpu_now = [] {
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return absl::DurationFromTimespec(now);
  };
  const absl::Duration before = cpu_now();
  net::RunFor(loop_, absl::Milliseconds(200));
  EXPECT_LT(cpu_now() - before, absl::Milliseconds(100));
  EXPECT_TRUE(server.socket.is_handshaking());
  EXPECT_FALSE(server.has_failed);
}

// The other end is OpenSSL by hand, which can ask for new keys.
class KeyUpdateTest : public TlsPairTest {
 protected:
  void OpenByHand() {
    server_context_ = std::make_unique<ServerContext>(server_options_);
    ASSERT_TRUE(server_context_->Load().ok());
    net::Connected pair = net::UnixPair(4096);
    peer_.emplace(std::move(pair.peer));
    server_.emplace(loop_, pair.ours);
    server_->socket.StartTls(server_context_->NewSession(server_->socket.fd(), server_observer_),
                             false);
    ctx_.reset(SSL_CTX_new(TLS_client_method()));
    SSL_CTX_set_mode(ctx_.get(),
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    ssl_.reset(SSL_new(ctx_.get()));
    BIO* bio = BIO_new_socket(peer_->get(), BIO_NOCLOSE);
    SSL_set_bio(ssl_.get(), bio, bio);
    ASSERT_TRUE(net::RunUntil(
        loop_, [this] { return SSL_connect(ssl_.get()) == 1 && server_->is_secured; }));
  }
  std::string ReadSome() {
    char buffer[5000];
    const int count = SSL_read(ssl_.get(), buffer, sizeof buffer);
    return count > 0 ? std::string(buffer, static_cast<size_t>(count)) : "";
  }

  std::optional<net::Fd> peer_;
  SslCtxPtr ctx_;
  SslPtr ssl_;
};

TEST_F(KeyUpdateTest, KeysChangeInBothDirectionsWithoutLoss) {
  OpenByHand();
  Random random(7);
  const std::string down = RandomBytes(random, 300'000);
  const std::string up = RandomBytes(random, 200'000);
  server_->unsent = down;
  server_->OnWritable();
  std::string received;
  std::string_view to_send = up;
  int updates = 0;
  // The receiver is slow, so that our own update finds a full socket now and then.
  const bool is_done = net::RunUntil(loop_, [&] {
    for (int i = 0; i < 8; ++i) {
      // OpenSSL takes at most 32 in a connection, as everybody should.
      if (updates < 30 && SSL_get_key_update_type(ssl_.get()) == SSL_KEY_UPDATE_NONE &&
          SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_REQUESTED) == 1) {
        ++updates;
      }
      if (!to_send.empty()) {
        const int count = SSL_write(ssl_.get(), to_send.data(),
                                    static_cast<int>(std::min<size_t>(to_send.size(), 3000)));
        if (count > 0) to_send.remove_prefix(static_cast<size_t>(count));
      }
      received += ReadSome();
      ERR_clear_error();
    }
    return received.size() == down.size() && server_->received.size() == up.size();
  });
  EXPECT_TRUE(is_done) << received.size() << " down, " << server_->received.size() << " up, "
                       << server_->has_failed;
  EXPECT_GT(updates, 10);
  EXPECT_TRUE(received == down);
  EXPECT_TRUE(server_->received == up);
}

TEST_F(KeyUpdateTest, RenegotiationIsNotPossible) {
  server_options_.client_auth = ClientAuth::kNone;
  OpenByHand();
  SSL_CTX* ctx = ctx_.get();
  SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
  // A new connection with the older version.
  server_.reset();
  ssl_.reset();
  net::Connected pair = net::UnixPair();
  peer_.emplace(std::move(pair.peer));
  server_.emplace(loop_, pair.ours);
  server_->socket.StartTls(server_context_->NewSession(server_->socket.fd(), server_observer_),
                           false);
  ssl_.reset(SSL_new(ctx));
  BIO* bio = BIO_new_socket(peer_->get(), BIO_NOCLOSE);
  SSL_set_bio(ssl_.get(), bio, bio);
  ASSERT_TRUE(
      net::RunUntil(loop_, [this] { return SSL_connect(ssl_.get()) == 1 && server_->is_secured; }));
  ASSERT_EQ(SSL_renegotiate(ssl_.get()), 1);
  // A warning is the answer, and nothing changes on our side.
  (void)net::RunUntil(loop_, [this] {
    const int result = SSL_do_handshake(ssl_.get());
    return result == 1 || SSL_get_error(ssl_.get(), result) == SSL_ERROR_SSL;
  });
  EXPECT_NE(SSL_get_state(ssl_.get()), TLS_ST_OK);
  ERR_clear_error();
}

}  // namespace
}  // namespace outrigger::tls
