// The numbers that one thread writes: a few nanoseconds for each, no lock, no read-modify-write.
//
//   WorkerMetrics& metrics = registry.AddWorker();
//   metrics.Increment(requests);
//   metrics.Add(in_flight, +1);
//   metrics.Observe(duration, seconds);
//
// A value is the sum over all workers, so that a gauge may go up on one worker and down on another.
// Exactly one thread writes to a WorkerMetrics; the registry reads it at any time. Ids come from
// the registry that made it; a default-constructed id may be written to and is shown nowhere. The
// registry owns it.
//
// Cells are relaxed atomics with a single writer: load, add, store. They live in chunks that are
// allocated when first written and never move.

#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

namespace outrigger::metrics {

struct CounterId {
  uint32_t cell = 0;
};

struct GaugeId {
  uint32_t cell = 0;
};

// Cells: one for each bound, one for +Inf, one for the sum.
struct HistogramId {
  uint32_t cell = 0;
  uint32_t bound_count = 0;
  const double* bounds = nullptr;
};

class WorkerMetrics {
 public:
  WorkerMetrics();
  ~WorkerMetrics();
  WorkerMetrics(const WorkerMetrics&) = delete;
  WorkerMetrics& operator=(const WorkerMetrics&) = delete;

  void Increment(CounterId id, uint64_t n = 1) { Bump(Cell(id.cell), n); }
  void Add(GaugeId id, int64_t delta) { Bump(Cell(id.cell), static_cast<uint64_t>(delta)); }
  // This worker's share of the gauge.
  void Set(GaugeId id, int64_t value) {
    Cell(id.cell).store(static_cast<uint64_t>(value), std::memory_order_relaxed);
  }
  // Seconds for histograms of time. NaN is not recorded.
  void Observe(HistogramId id, double value);
  void ObserveNanos(HistogramId id, int64_t nanos) {
    Observe(id, static_cast<double>(nanos) * 1e-9);
  }

 private:
  friend class Registry;

  using AtomicCell = std::atomic<uint64_t>;
  static constexpr uint32_t kCellsPerChunk = 512;
  static constexpr uint32_t kMaxChunks = 1024;
  static constexpr uint32_t kMaxCells = kCellsPerChunk * kMaxChunks;
  // Where ids that were never resolved write to: a bucket and a sum.
  static constexpr uint32_t kUnresolvedCells = 2;

  // A cache line of its own at either end, so that two workers never share one.
  struct alignas(64) Chunk {
    AtomicCell cells[kCellsPerChunk] = {};
  };

  static void Bump(AtomicCell& cell, uint64_t n) {
    cell.store(cell.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }

  AtomicCell& Cell(uint32_t index) {
    Chunk* chunk = chunks_[index / kCellsPerChunk].load(std::memory_order_relaxed);
    if (chunk == nullptr) [[unlikely]] {
      chunk = Grow(index / kCellsPerChunk);
    }
    return chunk->cells[index % kCellsPerChunk];
  }

  Chunk* Grow(uint32_t chunk_index);

  // For the scraping thread: zero when the cell was never written.
  uint64_t Read(uint32_t index) const {
    const Chunk* chunk = chunks_[index / kCellsPerChunk].load(std::memory_order_acquire);
    if (chunk == nullptr) return 0;
    return chunk->cells[index % kCellsPerChunk].load(std::memory_order_relaxed);
  }

  std::unique_ptr<std::atomic<Chunk*>[]> chunks_;
};

inline void WorkerMetrics::Observe(HistogramId id, double value) {
  if (value != value) return;
  const double* end = id.bounds + id.bound_count;
  const auto bucket = static_cast<uint32_t>(std::lower_bound(id.bounds, end, value) - id.bounds);
  Bump(Cell(id.cell + bucket), 1);
  AtomicCell& sum = Cell(id.cell + id.bound_count + 1);
  const double total = std::bit_cast<double>(sum.load(std::memory_order_relaxed)) + value;
  sum.store(std::bit_cast<uint64_t>(total), std::memory_order_relaxed);
}

}  // namespace outrigger::metrics
