// Request bodies for tests: what a client sends, in pieces of a given size and pace, and a service
// that reads it.

#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/base/random.h"
#include "proxy/chain/filter.h"
#include "proxy/event/loop.h"
#include "proxy/http/body.h"

namespace outrigger::retry {

// Hands out its pieces one by one, from a buffer that the next read overwrites, as a connection's
// does. A delay comes before each.
class ClientBody final : public http::Body {
 public:
  ClientBody(Loop& loop, std::vector<std::string> pieces, absl::Duration delay = {})
      : loop_(loop), pieces_(std::move(pieces)), delay_(delay) {}

  Task<http::ChunkResult> Read() override {
    buffer_.assign(buffer_.size(), '#');
    co_await loop_.Sleep(delay_);
    if (next_ == pieces_.size()) co_return http::Chunk{{}, true};
    buffer_ = pieces_[next_++];
    co_return http::Chunk{buffer_, next_ == pieces_.size()};
  }

 private:
  Loop& loop_;
  const std::vector<std::string> pieces_;
  const absl::Duration delay_;
  std::string buffer_;
  size_t next_ = 0;
};

// In memory as a whole.
class WholeBody final : public http::Body {
 public:
  explicit WholeBody(std::string text) : text_(std::move(text)) {}
  Task<http::ChunkResult> Read() override { co_return http::Chunk{text_, true}; }
  std::optional<std::string_view> Peek() const override { return text_; }

 private:
  const std::string text_;
};

inline std::vector<std::string> SplitAtRandom(const std::string& text, Random& random) {
  std::vector<std::string> pieces;
  size_t at = 0;
  while (at < text.size()) {
    const size_t most = random.Below(4) == 0 ? 20'000 : 300;
    const size_t size = std::min<size_t>(random.Below(most), text.size() - at);
    pieces.push_back(text.substr(at, size));
    at += size;
  }
  return pieces;
}

inline std::string RandomText(size_t size, Random& random) {
  std::string text(size, '\0');
  for (char& byte : text) byte = static_cast<char>(random.Next());
  return text;
}

// Reads up to so many bytes of the body in each attempt, then answers; the last plan is repeated.
class BodyReader final : public chain::Filter {
 public:
  struct Plan {
    size_t bytes = SIZE_MAX;
    int status = 200;
    http::Reason failure = http::Reason::kNone;  // instead of the status
    bool hangs = false;
  };

  explicit BodyReader(Loop& loop, std::vector<Plan> plans)
      : loop_(loop), plans_(std::move(plans)) {}

  Task<http::Result> Call(http::Request& request, chain::Next) override {
    const Plan plan = plans_[std::min(bodies_.size(), plans_.size() - 1)];
    bodies_.emplace_back();
    whole_.push_back(false);
    request.was_dispatched = true;
    while (request.body != nullptr && bodies_.back().size() < plan.bytes) {
      http::ChunkResult chunk = co_await request.body->Read();
      if (!chunk.ok()) co_return chunk.error();
      bodies_.back() += chunk->data;
      whole_.back() = chunk->is_last;
      if (chunk->is_last) break;
    }
    if (plan.hangs) co_await loop_.Sleep(absl::Hours(100'000));
    if (plan.failure != http::Reason::kNone) {
      co_return http::Failure{.reason = plan.failure,
                              .phase = http::Phase::kSending,
                              .executed = http::Executed::kMaybe};
    }
    http::Response response;
    response.status = plan.status;
    co_return response;
  }

  // What each attempt has read, and whether that was all.
  const std::vector<std::string>& bodies() const { return bodies_; }
  const std::vector<bool>& whole() const { return whole_; }

 private:
  Loop& loop_;
  const std::vector<Plan> plans_;
  std::vector<std::string> bodies_;
  std::vector<bool> whole_;
};

}  // namespace outrigger::retry
