#include "proxy/log/output.h"

#include <errno.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace outrigger::log {

Output::Output(int fd) : fd_(fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0 || S_ISREG(info.st_mode)) return;
  if (S_ISSOCK(info.st_mode)) {
    kind_ = Kind::kSocket;
    return;
  }
  kind_ = Kind::kBlocking;
  const std::string path = fmt::format("/proc/self/fd/{}", fd);
  const int own = open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (own < 0) return;
  kind_ = Kind::kNonBlocking;
  fd_ = own;
  is_owned_ = true;
}

Output::~Output() {
  if (is_owned_) close(fd_);
}

ssize_t Output::Write(std::string_view bytes) {
  ssize_t written = 0;
  do {
    if (kind_ == Kind::kSocket) {
      written = send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    } else if (kind_ == Kind::kBlocking) {
      pollfd room = {fd_, POLLOUT, 0};
      if (poll(&room, 1, 0) == 0) return 0;
      written = write(fd_, bytes.data(), bytes.substr(0, PIPE_BUF).size());
    } else {
      written = write(fd_, bytes.data(), bytes.size());
    }
  } while (written < 0 && errno == EINTR);
  if (written < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
  return written;
}

}  // namespace outrigger::log
