// Memory for the strings of one request: allocated by bumping a pointer, freed all at once.
//
//   Arena arena;
//   std::string_view name = arena.Copy(header_name);
//
// The first block is kept by Reset(), so that a pooled arena serves small requests without malloc.
// One worker uses it; views die with Reset() or the arena.

#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string_view>
#include <vector>

namespace outrigger {

class Arena {
 public:
  static constexpr size_t kBlockBytes = 2048;

  Arena() = default;
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  // `bytes` of uninitialised memory without alignment beyond that of char.
  char* Allocate(size_t bytes);
  std::string_view Copy(std::string_view text);
  // The concatenation of all parts.
  template <class... Parts>
  std::string_view Concat(const Parts&... parts) {
    const std::string_view views[] = {std::string_view(parts)...};
    size_t total = 0;
    for (std::string_view view : views) total += view.size();
    char* out = Allocate(total);
    char* at = out;
    for (std::string_view view : views) at = std::copy(view.begin(), view.end(), at);
    return {out, total};
  }

  // Forgets everything handed out; keeps the first block.
  void Reset();
  // Bytes obtained from malloc, for the memory budget.
  size_t reserved_bytes() const { return reserved_bytes_; }

 private:
  struct Block {
    std::unique_ptr<char[]> data;
    size_t size = 0;
  };

  std::vector<Block> blocks_;
  char* next_ = nullptr;
  char* end_ = nullptr;
  size_t reserved_bytes_ = 0;
};

}  // namespace outrigger
