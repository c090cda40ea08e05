// Memory for the strings of one request: allocated by bumping a pointer, freed all at once.
//
//   Arena arena;
//   std::string_view name = arena.Copy(header_name);
//
// Blocks of the usual size come from the per-thread pool, so that small requests cost no malloc.
// One worker uses it; views die with Reset() or the arena.

#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace outrigger {

class Arena {
 public:
  static constexpr size_t kBlockBytes = 2048;

  // `block_bytes`: what is taken at a time; less than usual for what is nearly always small.
  explicit Arena(size_t block_bytes = kBlockBytes) : block_bytes_(block_bytes) {}
  ~Arena() { FreeBlocks(0); }
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

  // Forgets everything handed out; keeps the first block unless it was made for one large string.
  void Reset();
  // Bytes obtained from malloc, for the memory budget.
  size_t reserved_bytes() const { return reserved_bytes_; }

 private:
  // At the start of its memory; blocks form a list, newest first.
  struct Block {
    Block* older;
    size_t size;  // of the whole allocation
  };

  static char* Payload(Block* block) { return reinterpret_cast<char*>(block + 1); }
  // Frees from the newest on until `keep` are left.
  void FreeBlocks(size_t keep);

  const size_t block_bytes_;
  Block* newest_ = nullptr;
  size_t block_count_ = 0;
  char* next_ = nullptr;
  char* end_ = nullptr;
  size_t reserved_bytes_ = 0;
};

}  // namespace outrigger
