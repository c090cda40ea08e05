#include "proxy/net/output.h"

#include <algorithm>
#include <cstring>

namespace outrigger::net {
namespace {

// Below this, copying is cheaper than a second element of the send.
constexpr size_t kCopyLimit = 4096;

}  // namespace

char* Output::Reserve(size_t bytes) {
  if (stage_.is_empty()) {
    stage_ = pool_.Take(bytes <= BufferPool::kSmallBytes ? BlockSize::kSmall : BlockSize::kLarge);
  } else if (stage_.size() - staged_ < bytes) {
    if (staged_ + bytes <= BufferPool::kLargeBytes && stage_.size() < BufferPool::kLargeBytes) {
      Block large = pool_.Take(BlockSize::kLarge);
      std::memcpy(large.data(), stage_.data(), staged_);
      stage_ = std::move(large);
    } else {
      // A broken connection is noticed by the next Send().
      (void)Flush();
      return Reserve(bytes);
    }
  }
  return stage_.data() + staged_;
}

void Output::Stage(std::string_view data) {
  while (!data.empty()) {
    const size_t piece = std::min(data.size(), kCopyLimit);
    std::memcpy(Reserve(piece), data.data(), piece);
    Commit(piece);
    data.remove_prefix(piece);
  }
}

bool Output::Write(std::string_view data, std::string_view tail) {
  if (data.size() + tail.size() > kCopyLimit) return Send(data, tail);
  Stage(data);
  Stage(tail);
  return true;
}

bool Output::Send(std::string_view data, std::string_view tail) {
  if (data.size() <= kCopyLimit && staged_ > 0) {
    Stage(data);
    Stage(tail);
    data = tail = {};
  }
  const std::string_view stage(stage_.data(), staged_);
  staged_ = 0;
  if (!socket_.is_open()) {
    stage_.Clear();
    return false;
  }
  if (pending_bytes() > 0) {
    for (std::string_view part : {stage, data, tail}) Keep(part);
    stage_.Clear();
    return true;
  }

  IoResult result;
  if (data.empty() && tail.empty()) {
    if (stage.empty()) return true;
    result = socket_.Send(stage);
  } else {
    iovec parts[3];
    int count = 0;
    for (std::string_view part : {stage, data, tail}) {
      if (!part.empty()) parts[count++] = {const_cast<char*>(part.data()), part.size()};
    }
    result = socket_.Send(parts, count);
  }
  if (result.status == IoStatus::kError) {
    stage_.Clear();
    return false;
  }
  size_t sent = result.bytes;
  for (std::string_view part : {stage, data, tail}) {
    const size_t skip = std::min(sent, part.size());
    sent -= skip;
    Keep(part.substr(skip));
  }
  stage_.Clear();
  if (pending_bytes() > 0) socket_.WantWrite(true);
  return true;
}

void Output::Keep(std::string_view unsent) {
  if (unsent.empty()) return;
  backlog_lease_.Grow(unsent.size());
  backlog_.append(unsent);
}

bool Output::OnWritable() {
  while (pending_bytes() > 0) {
    const IoResult result = socket_.Send(std::string_view(backlog_).substr(backlog_sent_));
    if (result.status == IoStatus::kError) return false;
    if (result.status == IoStatus::kAgain) return true;
    backlog_sent_ += result.bytes;
  }
  socket_.WantWrite(false);
  backlog_.clear();
  backlog_.shrink_to_fit();
  backlog_sent_ = 0;
  backlog_lease_.Clear();
  return true;
}

}  // namespace outrigger::net
