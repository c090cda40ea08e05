// One caller's view of a recording: its place in the body, its deadline, what it waits for.
//
//   if (reader->AwaitHead(waiter) == HeadState::kWait) ...        // suspend until Wake()
//   for (;;) {
//     ReadResult read = reader->Next(waiter);
//     kData: send read.data, keeping read.hold until the bytes have left
//     kWait: suspend until waiter.Wake(), then call again
//     kEnd:  reader->trailers();   kFailed: reader->failure()
//   }
//
// Whatever returns a wait has armed `waiter`, in place of the one before, and looks again at the
// next change of any kind; see waiter.h. Bytes count as passed when Next() is called again, which
// is what paces the writer of an overflowed recording: a caller that cannot send does not call.
//
// One thread at a time uses a reader. Destroying it, at any point, leaves the recording; no Wake()
// is under way afterwards. It keeps the recording alive.

#pragma once

#include <atomic>
#include <optional>
#include <string_view>

#include "filters/idempotency/recording.h"

namespace outrigger::idempotency {

enum class HeadState : uint8_t { kReady, kWait, kFailed };

struct ReadResult {
  enum class State : uint8_t { kData, kWait, kEnd, kFailed };

  State state = State::kWait;
  std::string_view data;
  // Keeps `data` alive.
  RefPtr<Segment> hold;
};

struct FingerprintMatch {
  enum class State : uint8_t {
    kSame,
    kDiffers,  // in `part`
    kPending,  // the execution's own request is still being read
    // The execution ended before its request had been read; only the heads could be compared.
    kUndecidable,
  };

  State state = State::kSame;
  RequestPart part = RequestPart::kBody;
};

class RecordingReader : public ListNode, public Pooled {
 public:
  ~RecordingReader();

  HeadState AwaitHead(Waiter& waiter);
  ReadResult Next(Waiter& waiter);
  // Compares this caller's complete request with the one that is executed. Arms on kPending.
  FingerprintMatch Compare(const Fingerprint& fingerprint, Waiter& waiter);
  // Forgets the waiter; afterwards no Wake() is under way.
  void Disarm();

  // True when nothing follows what the last Next() gave: the recording is complete and all of it
  // was handed out.
  bool IsAtEnd() const;
  // What the writer knows of the event stream. `is_at_event_boundary` is about the end of what the
  // last Next() gave; false when the writer is ahead of it and cannot tell.
  http::StreamState stream() const;

  // Bytes passed.
  uint64_t position() const { return position_.load(std::memory_order_relaxed); }
  MonoTime deadline() const { return deadline_; }
  void SetDeadline(MonoTime deadline);
  Recording& recording() { return *recording_; }

  // REQUIRES: Next() returned kEnd, or IsAtEnd(); kFailed of either call.
  const PackedHeaders& trailers() const { return recording_->trailers_; }
  const http::Failure& failure() const { return recording_->failure_; }

 private:
  friend class Recording;
  RecordingReader(RefPtr<Recording> recording, MonoTime deadline)
      : recording_(std::move(recording)), deadline_(deadline) {}

  std::string_view Unread() const;
  ReadResult Take(std::string_view data);
  void Arm(Waiter& waiter);  // the recording's mutex held

  const RefPtr<Recording> recording_;
  MonoTime deadline_;  // changed with the recording's mutex held
  // Written by this reader, read by the writer to find the slowest.
  std::atomic<uint64_t> position_{0};
  // The position when the mutex was last held: at most what the writer took it for.
  uint64_t counted_ = 0;
  size_t handed_out_ = 0;    // by the last Next(), not yet passed
  RefPtr<Segment> segment_;  // the one being read
  size_t next_segment_ = 0;  // the number of the one after it
  WaitingReader waiting_;    // linked with the recording's mutex held
};

}  // namespace outrigger::idempotency
