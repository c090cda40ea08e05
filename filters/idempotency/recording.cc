#include "filters/idempotency/recording.h"

#include <algorithm>

#include "filters/idempotency/recording_reader.h"

namespace outrigger::idempotency {
namespace {

constexpr size_t kMinSegmentBytes = 1024;
// LM-8: above this share of the memory budget nothing new is buffered.
constexpr unsigned kBudgetPercent = 80;
// For one segment: an answer that is still being read gives nothing back yet.
constexpr int kMaxGivenUp = 64;

}  // namespace

Recording::Recording(const RecordingLimits& limits, MemoryBudget& budget, RecordingQuota& quota)
    : limits_(limits), budget_(budget), quota_(quota), charge_(&budget) {
  charge_.Grow(sizeof(Recording));
}

Recording::~Recording() { ReleaseQuota(); }

void Recording::SetFingerprint(const Fingerprint& fingerprint) {
  const std::lock_guard lock(mutex_);
  fingerprint_ = fingerprint;
  WakeReaders();
}

void Recording::SetHead(int status, const http::HeaderList& headers, std::string_view request_id,
                        std::optional<uint64_t> body_bytes, const AnswerTraits& traits) {
  head_.status = status;
  head_.traits = traits;
  head_.body_length = body_bytes;
  head_.headers = PackedHeaders(headers);
  head_.request_id.assign(request_id);
  const size_t bytes = head_.headers.bytes() + head_.request_id.size();
  charge_.Grow(bytes);
  expected_bytes_ = traits.has_body ? body_bytes.value_or(0) : 0;
  // A body that cannot be kept is known before it arrives: then nobody else needs to join in vain.
  const bool fits = expected_bytes_ <= limits_.max_body_bytes && Reserve(sizeof(Recording) + bytes);

  const std::lock_guard lock(mutex_);
  has_head_.store(true, std::memory_order_release);
  if (!fits) Overflow();
  WakeReaders();
}

void Recording::NoteStream(const http::StreamState& state, size_t next_bytes) {
  const std::lock_guard lock(mutex_);
  stream_ = state;
  stream_at_ = body_bytes() + next_bytes;
}

void Recording::NotePace(size_t next_bytes, MonoTime now) {
  if (is_pace_lost_ || next_bytes == 0) return;
  if (overflowed() || !Reserve(sizeof(PaceMark))) {
    is_pace_lost_ = true;
    pace_.clear();
    pace_.shrink_to_fit();
    return;
  }
  charge_.Grow(sizeof(PaceMark));
  if (pace_.empty()) pace_began_ = now;
  pace_.push_back({body_bytes() + next_bytes, now - pace_began_});
}

bool Recording::Reserve(size_t bytes) {
  if (!quota_.TryReserve(bytes)) return false;
  quota_bytes_.fetch_add(bytes, std::memory_order_relaxed);
  return true;
}

void Recording::ReleaseQuota() {
  const size_t bytes = quota_bytes_.exchange(0, std::memory_order_relaxed);
  if (bytes != 0) quota_.Release(bytes);
}

// A segment for `wanted` more bytes, possibly smaller. Null when these cannot be kept.
RefPtr<Segment> Recording::NewSegment(size_t wanted) {
  const uint64_t start = body_bytes();
  size_t capacity = 0;
  if (expected_bytes_ > 0) {
    capacity = static_cast<size_t>(std::min<uint64_t>(expected_bytes_, kMaxSegmentBytes));
  } else {
    // Grows with the body: a short answer wastes little, a long stream has few segments.
    const uint64_t grown = std::max<uint64_t>(start / 4, kMinSegmentBytes);
    capacity = static_cast<size_t>(
        std::min<uint64_t>(std::max<uint64_t>(grown, wanted), kMaxSegmentBytes));
  }
  const size_t cost = Segment::Cost(capacity);
  if (overflowed()) {
    // These bytes are here already and the window is bounded: they are counted, not refused.
    budget_.Charge(cost);
  } else {
    // Kept answers go before a new one is given up (LM-8).
    for (int given_up = 0; !budget_.TryCharge(cost, kBudgetPercent); ++given_up) {
      if (given_up == kMaxGivenUp || !quota_.GiveUpOldest()) return {};
    }
    if (!Reserve(cost)) {
      budget_.Release(cost);
      return {};
    }
  }
  expected_bytes_ -= std::min<uint64_t>(expected_bytes_, capacity);
  return Segment::Adopt(budget_, capacity, start);
}

void Recording::Append(std::string_view data) {
  if (data.empty()) return;
  if (!overflowed() && body_bytes() + data.size() > limits_.max_body_bytes) {
    const std::lock_guard lock(mutex_);
    Overflow();
  }
  while (!data.empty()) {
    if (overflowed() && DiscardUnread(data)) return;
    RefPtr<Segment> added;
    if (!tail_ || tail_->room() == 0) {
      added = NewSegment(data.size());
      if (!added) {
        const std::lock_guard lock(mutex_);
        Overflow();
        continue;
      }
      tail_ = added;
    }
    const std::string_view part = data.substr(0, tail_->room());
    tail_->Write(part);
    data.remove_prefix(part.size());

    const std::lock_guard lock(mutex_);
    tail_->Publish();
    total_.store(body_bytes() + part.size(), std::memory_order_relaxed);
    if (added) segments_.push_back(std::move(added));
    WakeReaders();
  }
}

// Once overflowed and without readers nobody will ever read what comes.
bool Recording::DiscardUnread(std::string_view data) {
  const std::lock_guard lock(mutex_);
  if (reader_count_ > 0) return false;
  total_.store(body_bytes() + data.size(), std::memory_order_relaxed);
  return true;
}

void Recording::Overflow() {
  if (overflowed()) return;
  overflowed_.store(true, std::memory_order_release);
  // It will not be stored, so it no longer counts as something that may be.
  ReleaseQuota();
  MoveWindow();
}

bool Recording::WaitForRoom(Waiter& waiter) {
  if (!overflowed()) return false;
  const std::lock_guard lock(mutex_);
  room_waiter_ = nullptr;
  FindSlowest();
  if (!IsWindowFull()) return false;
  room_waiter_ = &waiter;
  return true;
}

void Recording::Complete(const http::HeaderList& trailers) {
  PackedHeaders packed(trailers);
  charge_.Grow(packed.bytes());
  tail_.Reset();
  const std::lock_guard lock(mutex_);
  trailers_ = std::move(packed);
  end_.store(RecordingEnd::kComplete, std::memory_order_release);
  WakeReaders();
}

void Recording::Fail(const http::Failure& failure) {
  tail_.Reset();
  ReleaseQuota();
  const std::lock_guard lock(mutex_);
  failure_ = failure;
  end_.store(RecordingEnd::kFailed, std::memory_order_release);
  WakeReaders();
}

ReaderStatus Recording::reader_status() const {
  const std::lock_guard lock(mutex_);
  return {reader_count_, latest_deadline_, furthest_deadline_, readers_version_};
}

bool Recording::WaitForReaders(Waiter& waiter, uint64_t seen) {
  const std::lock_guard lock(mutex_);
  readers_waiter_ = nullptr;
  if (readers_version_ != seen) return false;
  readers_waiter_ = &waiter;
  return true;
}

void Recording::StopOwnerWaits() {
  const std::lock_guard lock(mutex_);
  room_waiter_ = nullptr;
  readers_waiter_ = nullptr;
}

std::unique_ptr<RecordingReader> Recording::AddReader(MonoTime deadline, JoinRefusal* refusal) {
  *refusal = JoinRefusal::kNone;
  // Made before the lock, so that nothing is allocated under it.
  Ref();
  std::unique_ptr<RecordingReader> reader(
      new RecordingReader(RefPtr<Recording>::Adopt(this), deadline));
  {
    const std::lock_guard lock(mutex_);
    if (overflowed()) {
      *refusal = JoinRefusal::kOverflowed;
    } else if (end() == RecordingEnd::kRunning && reader_count_ >= limits_.max_readers) {
      *refusal = JoinRefusal::kTooManyReaders;
    } else {
      readers_.PushBack(*reader);
      furthest_deadline_ = std::max(furthest_deadline_, deadline);
      ++reader_count_;
      if (reader_count_ == 1) {
        latest_deadline_ = deadline;
        NoteReadersChanged();
      } else {
        latest_deadline_ = std::max(latest_deadline_, deadline);
      }
      return reader;
    }
  }
  return nullptr;
}

std::optional<Fingerprint> Recording::fingerprint() const {
  const std::lock_guard lock(mutex_);
  return fingerprint_;
}

void Recording::WakeReaders() {
  while (!waiting_.empty()) {
    WaitingReader& waiting = waiting_.front();
    waiting.Unlink();
    waiting.waiter->Wake();
  }
}

void Recording::NoteReadersChanged() {
  ++readers_version_;
  if (readers_waiter_ != nullptr) std::exchange(readers_waiter_, nullptr)->Wake();
}

MonoTime Recording::LatestDeadline() {
  MonoTime latest;
  readers_.ForEach(
      [&](const RecordingReader& reader) { latest = std::max(latest, reader.deadline()); });
  return latest;
}

// Everything when there is no reader: nobody waits for any byte.
void Recording::FindSlowest() {
  slowest_ = body_bytes();
  readers_.ForEach(
      [&](const RecordingReader& reader) { slowest_ = std::min(slowest_, reader.position()); });
}

bool Recording::IsWindowFull() const {
  return overflowed() && body_bytes() - slowest_ >= limits_.window_bytes;
}

// The slowest reader moved on or left.
void Recording::MoveWindow() {
  FindSlowest();
  DropPassedSegments();
  if (room_waiter_ != nullptr && !IsWindowFull()) std::exchange(room_waiter_, nullptr)->Wake();
}

void Recording::DropPassedSegments() {
  size_t passed = 0;
  while (passed < segments_.size()) {
    const Segment& segment = *segments_[passed];
    if (segment.start() + segment.published().size() > slowest_) break;
    // The writer may still fill up the last one.
    if (passed + 1 == segments_.size() && reader_count_ > 0) break;
    ++passed;
  }
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(passed));
  dropped_segments_ += passed;
}

}  // namespace outrigger::idempotency
