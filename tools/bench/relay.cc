// bench-relay: a TCP relay that knows nothing of HTTP, the floor of every comparison.
//
//   bench-relay --listen 127.0.0.1:0 --upstream 127.0.0.1:8000
//
// One upstream connection for each downstream one, level-triggered epoll, one recv and one send for
// each piece of data: nothing that forwards bytes between two TCP connections in user space can do
// with fewer system calls. `run --check-floor` asserts that this stays true.

#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/flags.h"
#include "tools/bench/net.h"

namespace outrigger::bench {
namespace {

struct Pair;

// One of the two connections of a pair.
struct Side {
  Socket socket;
  Pair* pair = nullptr;
  Side* peer = nullptr;
  // Read from the peer and not yet accepted by this socket; the peer is not read while it is kept.
  std::string pending;
  bool has_ended = false;  // this side sent its end
};

struct Pair {
  Side down;
  Side up;
  bool is_closed = false;
};

class Relay {
 public:
  Relay(const sockaddr_in& listen, const sockaddr_in& upstream)
      : upstream_(upstream), listener_(ListenTcp(listen)), buffer_(64 * 1024) {
    epoll_.Add(listener_.fd(), EPOLLIN, nullptr);
  }

  sockaddr_in address() const { return LocalAddress(listener_.fd()); }

  void Run() {
    while (!StopRequested()) {
      for (const epoll_event& event : epoll_.Wait(-1)) {
        if (event.data.ptr == nullptr) {
          Accept();
          continue;
        }
        Side& side = *static_cast<Side*>(event.data.ptr);
        if (side.pair->is_closed) continue;
        if ((event.events & EPOLLOUT) != 0) Flush(side);
        if (!side.pair->is_closed && (event.events & ~EPOLLOUT) != 0) Forward(side);
      }
      // Only now: a later event of the same batch may name a pair that an earlier one closed.
      if (!closed_.empty()) closed_.clear();
    }
  }

 private:
  void Accept() {
    Socket accepted = AcceptTcp(listener_.fd());
    if (!accepted.is_open()) return;
    Socket connecting = StartConnect(upstream_);
    if (!connecting.is_open()) return;
    auto* pair = new Pair;
    pair->down.socket = std::move(accepted);
    pair->up.socket = std::move(connecting);
    pair->down.peer = &pair->up;
    pair->up.peer = &pair->down;
    for (Side* side : {&pair->down, &pair->up}) {
      side->pair = pair;
      epoll_.Add(side->socket.fd(), EPOLLIN, side);
    }
  }

  void Forward(Side& from) {
    Side& to = *from.peer;
    if (!to.pending.empty() || from.has_ended) {
      // Not asked for: only a reset or hang-up comes here.
      return Close(*from.pair);
    }
    const ssize_t got = recv(from.socket.fd(), buffer_.data(), buffer_.size(), 0);
    if (got > 0) {
      const ssize_t sent = send(to.socket.fd(), buffer_.data(), static_cast<size_t>(got), 0);
      if (sent == got) return;
      if (sent < 0 && errno != EAGAIN) return Close(*from.pair);
      const size_t done = sent > 0 ? static_cast<size_t>(sent) : 0;
      to.pending.assign(buffer_.data() + done, static_cast<size_t>(got) - done);
      UpdateInterest(from);
      UpdateInterest(to);
    } else if (got == 0) {
      from.has_ended = true;
      if (to.has_ended) return Close(*from.pair);
      shutdown(to.socket.fd(), SHUT_WR);
      UpdateInterest(from);
    } else if (errno != EAGAIN) {
      Close(*from.pair);
    }
  }

  void Flush(Side& side) {
    const ssize_t sent = send(side.socket.fd(), side.pending.data(), side.pending.size(), 0);
    if (sent < 0) {
      if (errno != EAGAIN) Close(*side.pair);
      return;
    }
    side.pending.erase(0, static_cast<size_t>(sent));
    if (!side.pending.empty()) return;
    UpdateInterest(side);
    UpdateInterest(*side.peer);
  }

  void UpdateInterest(Side& side) {
    const bool reads = !side.has_ended && side.peer->pending.empty();
    const bool writes = !side.pending.empty();
    epoll_.Modify(side.socket.fd(), (reads ? EPOLLIN : 0u) | (writes ? EPOLLOUT : 0u), &side);
  }

  void Close(Pair& pair) {
    pair.is_closed = true;
    pair.down.socket.Close();
    pair.up.socket.Close();
    closed_.emplace_back(&pair);
  }

  const sockaddr_in upstream_;
  Socket listener_;
  Epoll epoll_;
  std::vector<char> buffer_;
  std::vector<std::unique_ptr<Pair>> closed_;
};

}  // namespace
}  // namespace outrigger::bench

int main(int argc, char** argv) {
  using namespace outrigger::bench;
  Flags flags(argc, argv);
  const sockaddr_in listen = flags.Address("listen", "127.0.0.1:0");
  const sockaddr_in upstream = flags.Address("upstream", "");
  flags.RefuseUnknown();
  PrepareToServe();
  Relay relay(listen, upstream);
  return Serve(relay);
}
