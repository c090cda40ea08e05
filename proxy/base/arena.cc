#include "proxy/base/arena.h"

#include <algorithm>
#include <cstring>

namespace outrigger {

char* Arena::Allocate(size_t bytes) {
  if (static_cast<size_t>(end_ - next_) < bytes) {
    const size_t size = std::max(bytes, kBlockBytes);
    blocks_.push_back({std::unique_ptr<char[]>(new char[size]), size});
    reserved_bytes_ += size;
    next_ = blocks_.back().data.get();
    end_ = next_ + size;
  }
  char* out = next_;
  next_ += bytes;
  return out;
}

std::string_view Arena::Copy(std::string_view text) {
  char* out = Allocate(text.size());
  if (!text.empty()) std::memcpy(out, text.data(), text.size());
  return {out, text.size()};
}

void Arena::Reset() {
  if (blocks_.empty()) return;
  // A first block made for one large string is not worth keeping.
  if (blocks_.front().size > kBlockBytes) blocks_.clear();
  if (blocks_.size() > 1) blocks_.erase(blocks_.begin() + 1, blocks_.end());
  reserved_bytes_ = blocks_.empty() ? 0 : blocks_.front().size;
  next_ = blocks_.empty() ? nullptr : blocks_.front().data.get();
  end_ = next_ + reserved_bytes_;
}

}  // namespace outrigger
