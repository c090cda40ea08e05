// What OpenSSL reads from and writes to: a non-blocking descriptor, with room for what the kernel
// does not take.
//
//   SocketIo io(fd);
//   SSL_set0_rbio / SSL_set0_wbio (NewSocketBio(io));
//   SSL_write(...);                       // always taken as a whole
//   if (io.has_unsent()) -> when the descriptor is writable: io.Flush()
//
// A write never fails for want of room. OpenSSL could keep the rest of a record itself, but then it
// cannot send anything else before that: a peer that asks for new keys while our answer waits would
// end the connection ("bad length"). What is kept here is a record, or a flight of the handshake.
// Unlike OpenSSL's own BIO it never raises SIGPIPE.

#pragma once

#include <string>

#include "proxy/tls/openssl.h"

namespace outrigger::tls {

class SocketIo {
 public:
  // Does not own the descriptor.
  explicit SocketIo(int fd) : fd_(fd) {}
  SocketIo(const SocketIo&) = delete;
  SocketIo& operator=(const SocketIo&) = delete;

  int fd() const { return fd_; }
  bool has_unsent() const { return !unsent_.empty(); }
  // Sends what was kept, as far as it goes. False: the connection is broken.
  bool Flush();
  // Sends or keeps all of it. False: the connection is broken.
  bool Write(const char* data, size_t size);

 private:
  const int fd_;
  std::string unsent_;
};

// `io` outlives the BIO.
BioPtr NewSocketBio(SocketIo& io);

}  // namespace outrigger::tls
