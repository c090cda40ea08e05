// bench-malloc-count.so: counts the allocations of the program it is preloaded into.
//
//   BENCH_MALLOC_FILE=/tmp/counts LD_PRELOAD=libbench-malloc-count.so outrigger serve ...
//
// The file holds two native 64-bit integers, the calls that asked for memory and those that gave it
// back. It is mapped, so anyone can read the counts at any time while the program runs: no signal,
// no handler, nothing that disturbs it. Without the variable the library only passes calls on.
//
// glibc only: the real functions are reached by their __libc_ names, since looking them up with
// dlsym would allocate.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

extern "C" {
void* __libc_malloc(size_t size);
void* __libc_calloc(size_t count, size_t size);
void* __libc_realloc(void* old, size_t size);
void* __libc_memalign(size_t alignment, size_t size);
void __libc_free(void* memory);
}

namespace {

struct Counts {
  std::atomic<uint64_t> allocations;
  std::atomic<uint64_t> frees;
};

// Used until the file is mapped, and when there is none.
Counts unmapped_counts;
std::atomic<Counts*> counts{&unmapped_counts};

void CountAllocation() {
  counts.load(std::memory_order_relaxed)->allocations.fetch_add(1, std::memory_order_relaxed);
}

__attribute__((constructor)) void MapCounts() {
  const char* path = std::getenv("BENCH_MALLOC_FILE");
  if (path == nullptr) return;
  const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return;
  if (ftruncate(fd, sizeof(Counts)) == 0) {
    void* mapped = mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) counts.store(static_cast<Counts*>(mapped));
  }
  close(fd);
}

}  // namespace

extern "C" {

void* malloc(size_t size) {
  CountAllocation();
  return __libc_malloc(size);
}

void* calloc(size_t count, size_t size) {
  CountAllocation();
  return __libc_calloc(count, size);
}

void* realloc(void* old, size_t size) {
  CountAllocation();
  return __libc_realloc(old, size);
}

void* memalign(size_t alignment, size_t size) {
  CountAllocation();
  return __libc_memalign(alignment, size);
}

void* aligned_alloc(size_t alignment, size_t size) {
  CountAllocation();
  return __libc_memalign(alignment, size);
}

int posix_memalign(void** result, size_t alignment, size_t size) {
  CountAllocation();
  void* memory = __libc_memalign(alignment, size);
  if (memory == nullptr) return ENOMEM;
  *result = memory;
  return 0;
}

void free(void* memory) {
  if (memory != nullptr) {
    counts.load(std::memory_order_relaxed)->frees.fetch_add(1, std::memory_order_relaxed);
  }
  __libc_free(memory);
}
}
