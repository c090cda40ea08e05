#include "proxy/net/listener.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "tests/proxy/net/support.h"

namespace outrigger::net {
namespace {

SocketAddress Loopback() { return SocketAddress::FromIp("127.0.0.1", 0).value(); }

std::string Message(const absl::Status& status) {
  return {status.message().data(), status.message().size()};
}

// Accepts and keeps what it accepted.
class Acceptor {
 public:
  Acceptor(EventLoop& loop, int fd)
      : listener_(loop, fd,
                  {.on_accept =
                       [this](int client, const SocketAddress& peer) {
                         clients.emplace_back(client);
                         last_peer = peer;
                         if (closes_after_first) listener_.Close();
                       },
                   .on_exhausted = [this](int error) { exhausted.push_back(error); }}) {}

  std::vector<Fd> clients;
  SocketAddress last_peer;
  std::vector<int> exhausted;
  bool closes_after_first = false;

  Listener& listener() { return listener_; }

 private:
  Listener listener_;
};

Fd Connect(const SocketAddress& address) { return Fd(StartConnect(address)); }

class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/outrigger-test-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~TemporaryFolder() {
    unlink(File().c_str());
    rmdir(path_.c_str());
  }
  std::string File() const { return path_ + "/app.sock"; }

 private:
  std::string path_;
};

TEST(Listener, SaysWhichPortTheSystemChose) {
  const Fd fd(Listener::Open(Loopback()).value());
  const SocketAddress address = Listener::AddressOf(fd.get());
  EXPECT_NE(address.port(), 0);
  EXPECT_EQ(address.HostText(), "127.0.0.1");
  EXPECT_TRUE(address.is_loopback());
}

TEST(Listener, AcceptsManyInOneTurn) {
  EventLoop loop;
  const int fd = Listener::Open(Loopback()).value();
  const SocketAddress address = Listener::AddressOf(fd);
  Acceptor acceptor(loop, fd);
  std::vector<Fd> clients;
  for (int i = 0; i < 50; ++i) clients.push_back(Connect(address));
  EXPECT_TRUE(RunUntil(loop, [&] { return acceptor.clients.size() == clients.size(); }));
  EXPECT_EQ(acceptor.last_peer.HostText(), "127.0.0.1");
  EXPECT_NE(acceptor.last_peer.port(), 0);
  EXPECT_NE(fcntl(acceptor.clients[0].get(), F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(fcntl(acceptor.clients[0].get(), F_GETFD) & FD_CLOEXEC, 0);
}

// Semantics LM-8: in a pod, what the kernel holds for slow clients counts as the pod's memory.
TEST(Listener, AcceptedConnectionsHoldABoundedAmountInTheKernel) {
  EventLoop loop;
  const int fd = Listener::Open(Loopback()).value();
  const SocketAddress address = Listener::AddressOf(fd);
  Acceptor acceptor(loop, fd);
  const Fd client = Connect(address);
  ASSERT_TRUE(RunUntil(loop, [&] { return !acceptor.clients.empty(); }));
  const int accepted = acceptor.clients[0].get();
  const std::string piece(64 * 1024, 'x');
  // The other end reads nothing: what it holds for itself is not ours.
  for (;;) {
    const ssize_t sent = send(accepted, piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) break;
  }
  EXPECT_EQ(errno, EAGAIN);
  int unsent = 0;
  ASSERT_EQ(ioctl(accepted, SIOCOUTQ, &unsent), 0);
  EXPECT_GT(unsent, 64 * 1024);
  EXPECT_LE(unsent, 512 * 1024);
}

TEST(Listener, TakesThoseWhoHaveConnectedBeforeItCloses) {
  EventLoop loop;
  const int fd = Listener::Open(Loopback()).value();
  const SocketAddress address = Listener::AddressOf(fd);
  Acceptor acceptor(loop, fd);
  std::vector<Fd> waiting;
  for (int i = 0; i < 40; ++i) waiting.push_back(Connect(address));
  acceptor.listener().TakeRestAndClose();
  EXPECT_EQ(acceptor.clients.size(), 40u);
  const Fd again(Listener::Open(address).value());  // the port is free
  acceptor.listener().Close();  // twice is once
}

TEST(Listener, MayBeClosedByItsCallback) {
  EventLoop loop;
  const int fd = Listener::Open(Loopback()).value();
  const SocketAddress address = Listener::AddressOf(fd);
  Acceptor acceptor(loop, fd);
  acceptor.closes_after_first = true;
  const Fd a = Connect(address);
  const Fd b = Connect(address);
  EXPECT_TRUE(RunUntil(loop, [&] { return !acceptor.clients.empty(); }));
  RunFor(loop, absl::Milliseconds(5));
  EXPECT_EQ(acceptor.clients.size(), 1u);
  acceptor.listener().Close();
}

TEST(Listener, NamesTheAddressThatIsInUse) {
  const Fd fd(Listener::Open(Loopback()).value());
  const SocketAddress address = Listener::AddressOf(fd.get());
  const absl::Status status = Listener::CheckFree(address);
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(Message(status), "cannot listen on " + address.ToString() + ": Address already in use");
  EXPECT_TRUE(Listener::CheckFree(Loopback()).ok());
}

TEST(Listener, LetsWorkersShareAPort) {
  const Fd first(Listener::Open(Loopback()).value());
  const Fd second(Listener::Open(Listener::AddressOf(first.get())).value());
  EXPECT_EQ(Listener::AddressOf(first.get()).port(), Listener::AddressOf(second.get()).port());
}

TEST(Listener, SaysWhyAnAddressCannotBeBound) {
  // Of a range kept for documentation (RFC 5737): no machine has it.
  const SocketAddress address = SocketAddress::FromIp("192.0.2.1", 1).value();
  const absl::StatusOr<int> fd = Listener::Open(address);
  ASSERT_FALSE(fd.ok());
  EXPECT_EQ(Message(fd.status()), "cannot listen on 192.0.2.1:1: Cannot assign requested address");
  EXPECT_FALSE(Listener::CheckFree(address).ok());
}

TEST(UnixListener, ReplacesTheSocketOfAProcessThatDied) {
  const TemporaryFolder folder;
  const SocketAddress address = SocketAddress::FromUnixPath(folder.File()).value();
  Fd(Listener::Open(address).value()).Close();  // leaves its file behind
  EventLoop loop;
  Acceptor acceptor(loop, Listener::Open(address).value());
  const Fd client = Connect(address);
  EXPECT_TRUE(RunUntil(loop, [&] { return acceptor.clients.size() == 1; }));
  EXPECT_TRUE(acceptor.last_peer.is_unix());
  EXPECT_EQ(acceptor.last_peer.HostText(), "unix");
}

TEST(UnixListener, LeavesASocketThatIsInUse) {
  const TemporaryFolder folder;
  const SocketAddress address = SocketAddress::FromUnixPath(folder.File()).value();
  const Fd first(Listener::Open(address).value());
  const absl::StatusOr<int> second = Listener::Open(address);
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(Message(second.status()),
            "cannot listen on " + address.ToString() + ": Address already in use");
}

// connect() to a file that is no socket is refused too.
TEST(UnixListener, NeverRemovesAFileThatIsNoSocket) {
  const TemporaryFolder folder;
  std::ofstream(folder.File()) << "precious";
  EXPECT_FALSE(Listener::Open(SocketAddress::FromUnixPath(folder.File()).value()).ok());
  std::string word;
  std::ifstream(folder.File()) >> word;
  EXPECT_EQ(word, "precious");
}

// A backlog that is full is a sign of life, and must not make the probe wait.
TEST(UnixListener, LeavesASocketWhoseBacklogIsFull) {
  const TemporaryFolder folder;
  const SocketAddress address = SocketAddress::FromUnixPath(folder.File()).value();
  const Fd busy(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(busy.get(), address.get(), address.length()), 0);
  ASSERT_EQ(listen(busy.get(), 0), 0);
  std::vector<Fd> clients;
  for (;;) {
    const int fd = StartConnect(address);
    if (fd < 0) {
      EXPECT_EQ(fd, -EAGAIN);
      break;
    }
    clients.emplace_back(fd);
  }
  EXPECT_FALSE(Listener::Open(address).ok());
  struct stat info {};
  EXPECT_EQ(stat(folder.File().c_str(), &info), 0);
}

TEST(Listener, PausesWhenDescriptorsRunOutAndGoesOnAfterwards) {
  if (kHasUbsan) GTEST_SKIP() << "UBSan looks at objects through a pipe that it cannot open here";
  EventLoop loop;
  const int fd = Listener::Open(Loopback()).value();
  const SocketAddress address = Listener::AddressOf(fd);
  Acceptor acceptor(loop, fd);
  const Fd first = Connect(address);
  {
    const NoDescriptors none;
    RunFor(loop, absl::Milliseconds(20));
  }
  EXPECT_EQ(acceptor.exhausted, std::vector<int>{EMFILE});
  EXPECT_TRUE(acceptor.clients.empty());
  EXPECT_TRUE(RunUntil(loop, [&] { return acceptor.clients.size() == 1; }));

  // For longer.
  const Fd second = Connect(address);
  acceptor.exhausted.clear();
  {
    const NoDescriptors none;
    RunFor(loop, absl::Milliseconds(250));
  }
  // Every 100 ms, not on each turn of the loop.
  EXPECT_GE(acceptor.exhausted.size(), 1u);
  EXPECT_LE(acceptor.exhausted.size(), 4u);
  EXPECT_TRUE(RunUntil(loop, [&] { return acceptor.clients.size() == 2; }));
}

TEST(Listener, MayBeClosedDuringThePause) {
  if (kHasUbsan) GTEST_SKIP() << "UBSan looks at objects through a pipe that it cannot open here";
  EventLoop loop;
  const int fd = Listener::Open(Loopback()).value();
  const SocketAddress address = Listener::AddressOf(fd);
  Acceptor acceptor(loop, fd);
  const Fd client = Connect(address);
  {
    const NoDescriptors none;
    RunFor(loop, absl::Milliseconds(20));
  }
  ASSERT_EQ(acceptor.exhausted.size(), 1u);
  acceptor.listener().Close();
  RunFor(loop, absl::Milliseconds(150));
  EXPECT_TRUE(acceptor.clients.empty());
  EXPECT_EQ(loop.armed_timers(), 0u);
}

}  // namespace
}  // namespace outrigger::net
