// Where log lines go: a file descriptor that must never hold up the writer for good.
//
//   Output output(STDOUT_FILENO);
//   ssize_t written = output.Write(bytes);      // 0: would block, wait for POLLOUT on poll_fd()
//
// Standard output is often shared with other processes, so that its file description must not be
// made non-blocking. Pipes and terminals are therefore opened a second time through /proc, with a
// description of our own; where that is refused, at most PIPE_BUF bytes are written at once after
// poll() has said that there is room, which a pipe takes without blocking. Sockets take a flag for
// each call; regular files do not block.
//
// Does not own the descriptor it is given. One thread, which must have SIGPIPE blocked.

#pragma once

#include <sys/types.h>

#include <string_view>

namespace outrigger::log {

class Output {
 public:
  explicit Output(int fd);
  ~Output();
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  // Bytes written, 0 when that would block, -1 on an error that waiting does not cure.
  ssize_t Write(std::string_view bytes);
  int poll_fd() const { return fd_; }

 private:
  enum class Kind { kFile, kSocket, kNonBlocking, kBlocking };

  Kind kind_ = Kind::kFile;
  int fd_ = -1;
  bool is_owned_ = false;
};

}  // namespace outrigger::log
