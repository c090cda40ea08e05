// Finds the ends of HTTP/1.1 messages: just enough for the two ends of a measurement.
//
//   MessageReader reader(MessageReader::Kind::kResponse);
//   const ptrdiff_t used = reader.Feed(bytes);
//   if (reader.is_done()) { use(reader.status()); reader.Reset(); }
//
// Understands Content-Length, chunked and close-delimited bodies. It trusts its peer (it is not the
// proxy's parser and shares nothing with it, so that a fault in one is seen by the other).

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace outrigger::bench {

class MessageReader {
 public:
  enum class Kind { kRequest, kResponse };

  // With a `body_sink`, body bytes are appended to it; it must outlive the reader.
  explicit MessageReader(Kind kind, std::string* body_sink = nullptr)
      : kind_(kind), body_sink_(body_sink) {}

  // Reads up to the end of one message and returns how many bytes of `data` belong to it, or -1 for
  // something that is not HTTP.
  ptrdiff_t Feed(std::string_view data);
  // The peer closed. True if that is a proper end of this message.
  bool FinishAtClose();
  void Reset();

  bool has_started() const { return state_ != State::kHead || !head_.empty(); }
  bool has_head() const { return state_ != State::kHead; }
  bool is_done() const { return state_ == State::kDone; }
  // The accessors below are valid once has_head() is true.
  int status() const { return status_; }
  std::string_view method() const { return method_; }
  std::string_view target() const { return target_; }
  bool keeps_alive() const { return keeps_alive_; }
  uint64_t body_bytes() const { return body_bytes_; }

 private:
  enum class State {
    kHead,
    kLength,
    kUntilClose,
    kChunkSize,
    kChunkData,
    kChunkEnd,
    kTrailers,
    kDone
  };

  bool ParseHead(std::string_view head);
  void ParseField(std::string_view line);
  bool ParseChunkSize();
  size_t TakeBody(std::string_view data);
  // Collects a line into line_; true when it is complete (without CRLF).
  bool TakeLine(std::string_view data, size_t& used);

  const Kind kind_;
  std::string* const body_sink_;
  State state_ = State::kHead;
  std::string head_;
  std::string line_;
  std::string method_;
  std::string target_;
  int status_ = 0;
  bool keeps_alive_ = true;
  bool is_chunked_ = false;
  bool has_length_ = false;
  uint64_t remaining_ = 0;
  uint64_t body_bytes_ = 0;
};

}  // namespace outrigger::bench
