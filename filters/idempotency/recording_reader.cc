#include "filters/idempotency/recording_reader.h"

namespace outrigger::idempotency {

RecordingReader::~RecordingReader() {
  const std::lock_guard lock(recording_->mutex_);
  if (!is_linked()) return;  // was refused and never joined
  Unlink();
  waiting_.Unlink();
  Recording& recording = *recording_;
  const MonoTime latest_before = recording.latest_deadline_;
  --recording.reader_count_;
  if (deadline_ == latest_before) recording.latest_deadline_ = recording.LatestDeadline();
  if (recording.reader_count_ == 0 || recording.latest_deadline_ < latest_before) {
    recording.NoteReadersChanged();
  }
  if (recording.overflowed() && counted_ <= recording.slowest_) recording.MoveWindow();
}

HeadState RecordingReader::AwaitHead(Waiter& waiter) {
  if (recording_->has_head()) return HeadState::kReady;
  const std::lock_guard lock(recording_->mutex_);
  if (recording_->has_head()) return HeadState::kReady;
  if (recording_->end() == RecordingEnd::kFailed) return HeadState::kFailed;
  Arm(waiter);
  return HeadState::kWait;
}

std::string_view RecordingReader::Unread() const {
  if (!segment_) return {};
  return segment_->published().substr(position() - segment_->start());
}

ReadResult RecordingReader::Take(std::string_view data) {
  handed_out_ = data.size();
  return {ReadResult::State::kData, data, segment_};
}

ReadResult RecordingReader::Next(Waiter& waiter) {
  position_.store(position() + handed_out_, std::memory_order_relaxed);
  handed_out_ = 0;
  // While everything is kept nobody waits for this reader, and published bytes need no lock.
  if (!recording_->overflowed()) {
    const std::string_view data = Unread();
    if (!data.empty()) return Take(data);
  }

  Recording& recording = *recording_;
  const std::lock_guard lock(recording.mutex_);
  const bool was_slowest = counted_ <= recording.slowest_;
  counted_ = position();
  if (recording.overflowed() && was_slowest) recording.MoveWindow();
  std::string_view data = Unread();
  if (data.empty() && next_segment_ - recording.dropped_segments_ < recording.segments_.size()) {
    segment_ = recording.segments_[next_segment_ - recording.dropped_segments_];
    ++next_segment_;
    data = Unread();
  }
  if (!data.empty()) return Take(data);
  switch (recording.end()) {
    case RecordingEnd::kComplete:
      return {ReadResult::State::kEnd, {}, {}};
    case RecordingEnd::kFailed:
      return {ReadResult::State::kFailed, {}, {}};
    case RecordingEnd::kRunning:
      break;
  }
  Arm(waiter);
  return {ReadResult::State::kWait, {}, {}};
}

bool RecordingReader::IsAtEnd() const {
  // The end is published after the last byte.
  return recording_->end() == RecordingEnd::kComplete &&
         position() + handed_out_ == recording_->body_bytes();
}

http::StreamState RecordingReader::stream() const {
  const std::lock_guard lock(recording_->mutex_);
  http::StreamState state = recording_->stream_;
  state.is_at_event_boundary =
      state.is_at_event_boundary && position() + handed_out_ == recording_->stream_at_;
  return state;
}

FingerprintMatch RecordingReader::Compare(const Fingerprint& fingerprint, Waiter& waiter) {
  const std::lock_guard lock(recording_->mutex_);
  if (!recording_->fingerprint_.has_value()) {
    if (recording_->end() != RecordingEnd::kRunning) {
      return {FingerprintMatch::State::kUndecidable, RequestPart::kBody};
    }
    Arm(waiter);
    return {FingerprintMatch::State::kPending, RequestPart::kBody};
  }
  const std::optional<RequestPart> part = FindDifference(*recording_->fingerprint_, fingerprint);
  if (!part.has_value()) return {FingerprintMatch::State::kSame, RequestPart::kBody};
  return {FingerprintMatch::State::kDiffers, *part};
}

void RecordingReader::Disarm() {
  const std::lock_guard lock(recording_->mutex_);
  waiting_.Unlink();
}

void RecordingReader::Arm(Waiter& waiter) {
  waiting_.waiter = &waiter;
  if (!waiting_.is_linked()) recording_->waiting_.PushBack(waiting_);
}

void RecordingReader::SetDeadline(MonoTime deadline) {
  Recording& recording = *recording_;
  const std::lock_guard lock(recording.mutex_);
  deadline_ = deadline;
  recording.furthest_deadline_ = std::max(recording.furthest_deadline_, deadline);
  const MonoTime latest_before = recording.latest_deadline_;
  recording.latest_deadline_ = recording.LatestDeadline();
  if (recording.latest_deadline_ < latest_before) recording.NoteReadersChanged();
}

}  // namespace outrigger::idempotency
