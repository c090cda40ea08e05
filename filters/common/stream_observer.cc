#include "filters/common/stream_observer.h"

namespace outrigger::common {

ChunkReport StreamObserver::Observe(std::string_view chunk) {
  ChunkReport report;
  parser_.Feed(chunk);
  SseEvent event;
  while (parser_.Next(&event)) {
    ++report.events;
    report.complete_bytes = static_cast<size_t>(event.end - parser_.chunk_begin());
    const EventMeaning meaning = Classify(grammar_, event);
    switch (meaning.kind) {
      case EventKind::kComment:
      case EventKind::kPreamble:
        break;
      case EventKind::kContent:
        if (content_events_ + report.content_events == 0) {
          report.first_content_end = report.complete_bytes;
        }
        ++report.content_events;
        if (opening_ == StreamOpening::kUndecided) opening_ = StreamOpening::kCommit;
        break;
      case EventKind::kTerminal:
        is_terminal_seen_ = true;
        if (opening_ == StreamOpening::kUndecided) opening_ = StreamOpening::kCommit;
        break;
      case EventKind::kError:
        if (opening_ == StreamOpening::kUndecided) opening_ = StreamOpening::kError;
        if (error_ != StreamErrorClass::kNone) break;
        error_ = meaning.error;
        if (!event.is_truncated) error_data_.assign(event.data);
        break;
    }
  }
  events_ += report.events;
  content_events_ += report.content_events;
  return report;
}

bool StreamObserver::IsCompleteAtEnd(bool is_framed) const {
  if (error_seen()) return false;
  if (is_terminal_seen_) return true;
  return grammar_ == StreamGrammar::kGeneric && is_framed && is_at_event_boundary();
}

}  // namespace outrigger::common
