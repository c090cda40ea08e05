#include "proxy/net/socket.h"

#include <cerrno>
#include <optional>
#include <string>

#include "tests/proxy/net/support.h"

namespace outrigger::net {
namespace {

class SocketTest : public testing::Test {
 protected:
  void Open(Connected pair) {
    peer_.emplace(std::move(pair.peer));
    socket_.emplace(loop_, pair.ours, handler_);
  }
  Fd& peer() { return *peer_; }
  void Write(std::string_view text) {
    ASSERT_EQ(send(peer().get(), text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }
  std::string Receive() {
    char buffer[100];
    const IoResult result = socket_->Receive(buffer, sizeof buffer);
    last_ = result;
    return {buffer, result.bytes};
  }

  EventLoop loop_;
  CountingHandler handler_;
  std::optional<Fd> peer_;
  std::optional<Socket> socket_;
  IoResult last_;
};

TEST_F(SocketTest, ReportsBytesUntilTheyAreRead) {
  Open(UnixPair());
  std::string received;
  handler_.on_readable = [&] {
    if (handler_.readable == 3) received = Receive();
  };
  Write("hello");
  EXPECT_TRUE(RunUntil(loop_, [&] { return !received.empty(); }));
  EXPECT_EQ(received, "hello");
  EXPECT_EQ(handler_.readable, 3);
  RunFor(loop_, absl::Milliseconds(10));
  EXPECT_EQ(handler_.readable, 3);
  EXPECT_EQ(handler_.writable, 0);
}

TEST_F(SocketTest, TellsAgainEndAndErrorApart) {
  Open(TcpPair());
  EXPECT_EQ(Receive(), "");
  EXPECT_EQ(last_.status, IoStatus::kAgain);
  ASSERT_EQ(shutdown(peer().get(), SHUT_WR), 0);
  EXPECT_TRUE(RunUntil(loop_, [&] { return handler_.readable > 0; }));
  EXPECT_EQ(Receive(), "");
  EXPECT_EQ(last_.status, IoStatus::kEnd);
  EXPECT_GT(handler_.peer_closed, 0);
  Open(TcpPair());
  ResetBy(peer());
  EXPECT_EQ(Receive(), "");
  EXPECT_EQ(last_.status, IoStatus::kError);
  EXPECT_EQ(last_.error, ECONNRESET);
  EXPECT_EQ(socket_->Send("x").status, IoStatus::kError);
}

TEST_F(SocketTest, IsQuietWhilePaused) {
  Open(TcpPair());
  socket_->PauseReading();
  Write("hello");
  RunFor(loop_, absl::Milliseconds(50));
  EXPECT_EQ(handler_.readable, 0);
  EXPECT_EQ(handler_.peer_closed, 0);
  std::string received;
  handler_.on_readable = [&] { received += Receive(); };
  socket_->ResumeReading();
  EXPECT_TRUE(RunUntil(loop_, [&] { return !received.empty(); }));
  EXPECT_EQ(received, "hello");
}

// With bytes waiting or none, in one turn or in two: told, and not told over and over.
TEST_F(SocketTest, ReportsAResetWhilePausedWithoutSpinning) {
  for (bool has_bytes : {false, true}) {
    for (bool is_later : {false, true}) {
      SCOPED_TRACE(testing::Message() << has_bytes << is_later);
      handler_.peer_closed = handler_.readable = 0;
      Open(TcpPair());
      socket_->PauseReading();
      if (has_bytes) Write("hello");
      if (is_later) RunFor(loop_, absl::Milliseconds(5));
      ResetBy(peer());
      EXPECT_TRUE(RunUntil(loop_, [&] { return handler_.peer_closed > 0; }));
      RunFor(loop_, absl::Milliseconds(50));
      EXPECT_LE(handler_.peer_closed, 3);
      EXPECT_EQ(handler_.readable, 0);
    }
  }
}

TEST_F(SocketTest, ReportsAHalfCloseWhilePausedWithoutSpinning) {
  for (bool has_bytes : {false, true}) {
    SCOPED_TRACE(has_bytes);
    handler_.peer_closed = handler_.readable = 0;
    Open(TcpPair());
    socket_->PauseReading();
    if (has_bytes) Write("hello");
    shutdown(peer().get(), SHUT_WR);
    EXPECT_TRUE(RunUntil(loop_, [&] { return handler_.peer_closed > 0; }));
    RunFor(loop_, absl::Milliseconds(50));
    EXPECT_LE(handler_.peer_closed, 3);
    EXPECT_EQ(handler_.readable, 0);
    socket_->ResumeReading();
    EXPECT_TRUE(RunUntil(loop_, [&] { return handler_.readable > 0; }));
  }
}

TEST_F(SocketTest, ReportsAPeerThatHadGoneBeforeThePause) {
  Open(TcpPair());
  ResetBy(peer());
  socket_->PauseReading();
  EXPECT_TRUE(RunUntil(loop_, [&] { return handler_.peer_closed > 0; }));
}

TEST_F(SocketTest, ReportsWritabilityOnlyWhenAsked) {
  Open(UnixPair());
  RunFor(loop_, absl::Milliseconds(5));
  EXPECT_EQ(handler_.writable, 0);
  handler_.on_writable = [&] { socket_->WantWrite(false); };
  socket_->WantWrite(true);
  EXPECT_TRUE(RunUntil(loop_, [&] { return handler_.writable > 0; }));
  RunFor(loop_, absl::Milliseconds(5));
  EXPECT_EQ(handler_.writable, 1);
}

TEST_F(SocketTest, PausedSocketsCanBeWritten) {
  Open(UnixPair());
  socket_->PauseReading();
  handler_.on_writable = [&] { socket_->WantWrite(false); };
  socket_->WantWrite(true);
  EXPECT_TRUE(RunUntil(loop_, [&] { return handler_.writable > 0; }));
  EXPECT_EQ(socket_->Send("hello").bytes, 5u);
  EXPECT_EQ(ReadAvailable(peer().get()), "hello");
}

TEST_F(SocketTest, MayBeClosedInEachOfItsCallbacks) {
  for (int which = 0; which < 3; ++which) {
    SCOPED_TRACE(which);
    handler_ = {};
    Open(TcpPair());
    std::function<void()>& callback = which == 0   ? handler_.on_readable
                                      : which == 1 ? handler_.on_writable
                                                   : handler_.on_peer_closed;
    callback = [&] { socket_->Close(); };
    Write("hello");
    if (which == 1) socket_->WantWrite(true);
    peer().Close();
    EXPECT_TRUE(RunUntil(loop_, [&] { return !socket_->is_open(); }));
    const int calls = handler_.readable + handler_.writable + handler_.peer_closed;
    RunFor(loop_, absl::Milliseconds(5));
    EXPECT_EQ(handler_.readable + handler_.writable + handler_.peer_closed, calls);
  }
}

TEST_F(SocketTest, EndsInAnOrderlyWayOrByReset) {
  Open(TcpPair());
  socket_->Send("bye");
  socket_->Close();
  EXPECT_EQ(ReadAvailable(peer().get()), "bye");
  char byte = 0;
  EXPECT_EQ(recv(peer().get(), &byte, 1, 0), 0);
  Open(TcpPair());
  socket_->Close(/*with_reset=*/true);
  EXPECT_EQ(recv(peer().get(), &byte, 1, 0), -1);
  EXPECT_EQ(errno, ECONNRESET);
}

TEST_F(SocketTest, ConnectsToAListener) {
  const Fd listening(Listener::Open(SocketAddress::FromIp("127.0.0.1", 0).value()).value());
  const int fd = StartConnect(Listener::AddressOf(listening.get()));
  ASSERT_GE(fd, 0);
  socket_.emplace(loop_, fd, handler_);
  handler_.on_writable = [&] { socket_->WantWrite(false); };
  socket_->WantWrite(true);
  EXPECT_TRUE(RunUntil(loop_, [&] { return handler_.writable > 0; }));
  EXPECT_EQ(socket_->TakeError(), 0);
}

TEST_F(SocketTest, SaysThatAConnectionWasRefused) {
  SocketAddress address;
  {
    const Fd listening(Listener::Open(SocketAddress::FromIp("127.0.0.1", 0).value()).value());
    address = Listener::AddressOf(listening.get());
  }
  const int fd = StartConnect(address);
  if (fd < 0) {
    EXPECT_EQ(fd, -ECONNREFUSED);
    return;
  }
  socket_.emplace(loop_, fd, handler_);
  int error = 0;
  handler_.on_writable = [&] {
    error = socket_->TakeError();
    socket_->Close();
  };
  socket_->WantWrite(true);
  EXPECT_TRUE(RunUntil(loop_, [&] { return handler_.writable > 0; }));
  EXPECT_EQ(error, ECONNREFUSED);
  EXPECT_EQ(StartConnect(SocketAddress::FromUnixPath("/no/such/socket").value()), -ENOENT);
}

}  // namespace
}  // namespace outrigger::net
