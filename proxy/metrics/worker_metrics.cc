#include "proxy/metrics/worker_metrics.h"

namespace outrigger::metrics {

WorkerMetrics::WorkerMetrics() : chunks_(std::make_unique<std::atomic<Chunk*>[]>(kMaxChunks)) {}

WorkerMetrics::~WorkerMetrics() {
  for (uint32_t i = 0; i < kMaxChunks; ++i) delete chunks_[i].load(std::memory_order_relaxed);
}

WorkerMetrics::Chunk* WorkerMetrics::Grow(uint32_t chunk_index) {
  auto* chunk = new Chunk;
  // Release: the scraper must see the zeroes before it sees the chunk.
  chunks_[chunk_index].store(chunk, std::memory_order_release);
  return chunk;
}

}  // namespace outrigger::metrics
