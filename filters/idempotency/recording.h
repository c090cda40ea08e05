// One execution of a keyed request as it happens: who writes it is the worker that runs the
// request, who reads it is every caller with that key, the first included, on any worker
// (semantics ID-3, ID-8, ID-12).
//
//   recording->SetHead(200, headers, request_id, content_length);      // the writer
//   recording->Append(bytes);
//   recording->Complete(trailers);                                     // or Fail(failure)
//
//   std::unique_ptr<RecordingReader> reader = recording->AddReader(deadline, &refusal);
//   switch (ReadResult read = reader->Next(waiter); read.state) ...    // recording_reader.h
//
// The body is kept in segments that never change once published, so that all readers get the same
// bytes. Segments are charged to the memory budget while anyone holds them.
//
// *Too big to keep.* When the body passes `max_body_bytes`, or the table or the memory budget
// refuses more, the recording *overflows*: it can no longer be stored or joined, and from then on
// is a window. What all readers have passed is dropped, and the writer must pause while it is
// `window_bytes` ahead of the slowest reader (WaitForRoom). Without readers nothing more is kept.
//
// Threads: the writer's calls come from one thread at a time; everything is guarded by one mutex
// that no call holds for longer than a copy of pointers, except that reading published bytes takes
// none. A Waiter is called with that mutex held (waiter.h).
// Cancellation: dropping a reader removes it. A writer that gives up must call Fail(); readers
// would wait for ever otherwise (Reservation does it).

#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/inlined_vector.h"
#include "filters/idempotency/fingerprint.h"
#include "filters/idempotency/packed_headers.h"
#include "filters/idempotency/ref_ptr.h"
#include "filters/idempotency/segment.h"
#include "filters/idempotency/waiter.h"
#include "proxy/base/intrusive_list.h"
#include "proxy/base/memory_budget.h"
#include "proxy/base/pooled.h"
#include "proxy/base/time.h"
#include "proxy/http/failure.h"
#include "proxy/http/headers.h"
#include "proxy/http/reason.h"
#include "proxy/http/stream_state.h"

namespace outrigger::idempotency {

class RecordingReader;

// Asked before a recording keeps more bytes. Implementations are thread-safe and may evict other
// recordings to make room. Called without the recording's mutex, except Release().
class RecordingQuota {
 public:
  virtual bool TryReserve(size_t bytes) = 0;
  virtual void Release(size_t bytes) = 0;
  // Memory is short (LM-8): gives up the oldest kept answer that may be computed again. False:
  // there is none. Without a lock of a recording held.
  virtual bool GiveUpOldest() { return false; }

 protected:
  ~RecordingQuota() = default;
};

struct RecordingLimits {
  size_t max_body_bytes = size_t{2} << 20;
  size_t window_bytes = size_t{256} << 10;
  size_t max_readers = 1000;
};

// What a caller needs to know of an answer besides its status and fields.
struct AnswerTraits {
  bool has_body = true;
  // text/event-stream whose events are observed (NoteStream).
  bool is_stream = false;
  // Kept although the service may have failed half-way (B0.2).
  bool is_outcome_unknown = false;
  // Made by the proxy itself; kNone: from upstream.
  http::Reason reason = http::Reason::kNone;
};

// Written once, before the first byte of the body.
struct RecordedHead {
  int status = 0;
  AnswerTraits traits;
  std::optional<uint64_t> body_length;  // as announced
  PackedHeaders headers;
  // The x-request-id of the request that was executed.
  PooledString request_id;
};

enum class RecordingEnd : uint8_t { kRunning, kComplete, kFailed };

enum class JoinRefusal : uint8_t { kNone, kTooManyReaders, kOverflowed };

// What the owner of an execution needs to know about its readers.
struct ReaderStatus {
  size_t count = 0;
  // Of all readers; the execution ends there. Meaningless without readers.
  MonoTime latest_deadline;
  // The latest that any reader has had, those that left included.
  MonoTime furthest_deadline;
  // Changes when the last reader leaves, the first one comes, or `latest_deadline` moves forward
  // to an earlier point. A later one is not reported: look again when the timer fires.
  uint64_t version = 0;
};

// Where a piece of a stream ended, and when it came, counted from the first one.
struct PaceMark {
  uint64_t end = 0;
  absl::Duration after;
};

struct TableEntry;

// A kept recording's place in the key table's order of age; the table's alone.
struct StoredRecording : ListNode {
  MonoTime completed_at;
  MonoTime key_expires_at;
  TableEntry* entry = nullptr;
};

class Recording : public RefCounted<Recording>, public Pooled {
 public:
  static constexpr size_t kMaxSegmentBytes = size_t{16} << 10;

  // Budget and quota must outlive the recording and all its segments.
  Recording(const RecordingLimits& limits, MemoryBudget& budget, RecordingQuota& quota);
  ~Recording();

  // --- The writer. ---

  // The request's fingerprint, once its body has been read. REQUIRES: not called before.
  void SetFingerprint(const Fingerprint& fingerprint);
  // Copies everything. `body_bytes` is the announced length, which saves room when it is known.
  // REQUIRES: running, no head yet.
  void SetHead(int status, const http::HeaderList& headers, std::string_view request_id,
               std::optional<uint64_t> body_bytes, const AnswerTraits& traits = {});
  // What is known of an event stream once `next_bytes` more are appended. REQUIRES: right before
  // the Append() of these bytes.
  void NoteStream(const http::StreamState& state, size_t next_bytes);
  // Remembers when the next `next_bytes` came, for a replay that takes as long. Without room for
  // that all of it is forgotten. REQUIRES: right before their Append().
  void NotePace(size_t next_bytes, MonoTime now);
  // REQUIRES: running, head set.
  void Append(std::string_view data);
  // True when the writer must pause; `waiter` is then woken once there is room again, or no reader
  // is left. At most one waiter at a time; a second call replaces it.
  bool WaitForRoom(Waiter& waiter);
  // REQUIRES: running, head set.
  void Complete(const http::HeaderList& trailers);
  // REQUIRES: running. Readers get what was published, then the failure.
  void Fail(const http::Failure& failure);

  // --- The owner of the execution; any thread. ---

  ReaderStatus reader_status() const;
  // True when `seen` is still the version; `waiter` is then woken at the next change. One waiter
  // at a time.
  bool WaitForReaders(Waiter& waiter, uint64_t seen);
  // Forgets what WaitForRoom() and WaitForReaders() were given. Afterwards no call is under way.
  void StopOwnerWaits();

  // --- Everyone. ---

  // Null when refused. The limit on readers holds while the recording runs.
  std::unique_ptr<RecordingReader> AddReader(MonoTime deadline, JoinRefusal* refusal);
  RecordingEnd end() const { return end_.load(std::memory_order_acquire); }
  bool overflowed() const { return overflowed_.load(std::memory_order_acquire); }
  // Bytes of body appended, kept or not.
  uint64_t body_bytes() const { return total_.load(std::memory_order_relaxed); }
  // Whether SetHead() was called; `head()` may then be read by anyone.
  bool has_head() const { return has_head_.load(std::memory_order_acquire); }
  // REQUIRES: has_head().
  const RecordedHead& head() const { return head_; }
  // In the order of the body; empty unless it was noted. REQUIRES: end() is kComplete.
  const std::vector<PaceMark>& pace() const { return pace_; }
  // Nothing until SetFingerprint().
  std::optional<Fingerprint> fingerprint() const;

  // What the table counts for it. ReleaseQuota() gives that back before the recording dies, when
  // the table gives it up while somebody still reads it.
  size_t quota_bytes() const { return quota_bytes_.load(std::memory_order_relaxed); }
  void ReleaseQuota();
  StoredRecording& stored() { return stored_; }

 private:
  friend class RecordingReader;

  bool Reserve(size_t bytes);
  RefPtr<Segment> NewSegment(size_t wanted);
  void Overflow();
  bool DiscardUnread(std::string_view data);
  // The ones below are called with the mutex held.
  void WakeReaders();
  void MoveWindow();
  void NoteReadersChanged();
  MonoTime LatestDeadline();
  void FindSlowest();
  bool IsWindowFull() const;
  void DropPassedSegments();

  const RecordingLimits limits_;
  MemoryBudget& budget_;
  RecordingQuota& quota_;
  std::atomic<size_t> quota_bytes_{0};
  StoredRecording stored_;

  // The writer's alone.
  RefPtr<Segment> tail_;
  uint64_t expected_bytes_ = 0;  // of the announced length, not yet given a segment
  BudgetLease charge_;           // this object, its head and its pace
  MonoTime pace_began_;
  std::vector<PaceMark> pace_;  // everybody's to read once it is complete
  bool is_pace_lost_ = false;

  std::atomic<RecordingEnd> end_{RecordingEnd::kRunning};
  std::atomic<bool> overflowed_{false};
  std::atomic<bool> has_head_{false};
  std::atomic<uint64_t> total_{0};
  RecordedHead head_;  // written before has_head_ is published

  mutable std::mutex mutex_;
  std::optional<Fingerprint> fingerprint_;
  http::Failure failure_;   // when kFailed
  PackedHeaders trailers_;  // when kComplete
  http::StreamState stream_;
  uint64_t stream_at_ = 0;  // the number of bytes that stream_ is about
  absl::InlinedVector<RefPtr<Segment>, 2> segments_;
  size_t dropped_segments_ = 0;  // the number of segments_[0]
  // Once overflowed: no reader is before this byte. Some may be further than it says, but then one
  // of them finds out at its next call (RecordingReader::counted_).
  uint64_t slowest_ = 0;
  IntrusiveList<RecordingReader> readers_;
  IntrusiveList<WaitingReader> waiting_;
  MonoTime latest_deadline_;
  MonoTime furthest_deadline_;
  size_t reader_count_ = 0;
  uint64_t readers_version_ = 0;
  Waiter* room_waiter_ = nullptr;
  Waiter* readers_waiter_ = nullptr;
};

}  // namespace outrigger::idempotency
