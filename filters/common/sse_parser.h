// Incremental parser of the event stream format (WHATWG HTML, 9.2.6) that only watches: it reports
// events and where they end, and the caller passes the bytes on unchanged (semantics PR-5).
//
//   parser.Feed(chunk);
//   SseEvent event;
//   while (parser.Next(&event)) Handle(event);
//
// Lines end in LF, CR or CRLF, freely mixed; one byte order mark at the start is skipped; any split
// of the stream into chunks gives the same events. Beyond the standard it also reports blocks that
// dispatch nothing (comments, fields without data), because heartbeats are such blocks and timers
// have to know them. An event that the stream's end cuts off is never reported.
//
// Memory: an event that lies in one chunk is not copied. One that does not is collected up to
// kMaxEventBytes; what is longer is still delimited, and reported with its first kMaxEventBytes and
// `is_truncated`. Views in an event die with the next call of Next or Feed, or with the chunk.
// Owner: one worker.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace outrigger::common {

// One block: the lines between two blank lines.
struct SseEvent {
  std::string_view type;  // the last `event` field; empty means "message"
  std::string_view data;  // the `data` lines joined by LF
  std::string_view id;    // the `id` field of this block; empty when absent
  bool has_data = false;  // false: the standard dispatches nothing
  bool has_id = false;    // present and without NUL; an empty id resets the client's last id
  bool is_truncated = false;
  // Offsets in the stream: of the block's first byte, and behind the blank line that ends it.
  // Consecutive events touch each other.
  uint64_t begin = 0;
  uint64_t end = 0;
};

class SseParser {
 public:
  static constexpr size_t kMaxEventBytes = 64 * 1024;

  // REQUIRES: Next returned false since the last Feed. `chunk` must live until it does so again.
  void Feed(std::string_view chunk);
  // False: the chunk is used up; feed the next one.
  bool Next(SseEvent* event);

  // Bytes of an unfinished block have been seen.
  bool has_partial_event() const;
  // Stream offset of the current chunk's first byte.
  uint64_t chunk_begin() const { return chunk_begin_; }
  // Memory held for an unfinished event.
  size_t buffered_bytes() const { return kept_.capacity() + joined_.capacity(); }

 private:
  // Finds line ends from left to right. Remembers the next LF, so that text with CR alone does not
  // cost a scan to its end for every line.
  class LineEnds {
   public:
    LineEnds() = default;
    explicit LineEnds(std::string_view text) : text_(text) {}
    // Offset of the first CR or LF at or after `from`; the size of the text when there is none.
    // REQUIRES: `from` does not decrease.
    size_t Find(size_t from);

   private:
    std::string_view text_;
    size_t next_lf_ = 0;
    bool is_known_ = false;
  };

  bool SkipByteOrderMark();
  // Scans on. True: a block has ended; [block_begin_, *block_end) are its bytes in this chunk and
  // position_ is behind its blank line.
  bool FindBlockEnd(size_t* block_end);
  void Keep(std::string_view bytes);
  void ReleaseKept();
  void ParseBlock(std::string_view block, SseEvent* event);

  std::string_view chunk_;
  LineEnds line_ends_;
  size_t position_ = 0;     // in chunk_: scanned up to here
  size_t block_begin_ = 0;  // in chunk_: the current block's first byte that is not in kept_
  uint64_t chunk_begin_ = 0;
  uint64_t event_begin_ = 0;

  // The state of the scan between two bytes.
  uint8_t mark_bytes_ = 0;         // of a byte order mark matched at the start
  bool is_start_ = true;           // a byte order mark may still come
  bool is_at_line_start_ = true;   // the next byte is the first of its line
  bool is_after_cr_ = false;       // an LF now belongs to the line end before it
  bool has_line_ = false;          // the block has a line that is not blank
  bool is_over_limit_ = false;     // bytes of the block were dropped
  bool is_kept_reported_ = false;  // kept_ holds the block reported last

  std::string kept_;    // the current block's bytes from earlier chunks
  std::string joined_;  // data of several lines
};

}  // namespace outrigger::common
