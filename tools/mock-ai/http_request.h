// HTTP/1.1 requests as the mock service reads them, and the incremental parser that reads them.
//
//   RequestParser parser(Limits{});
//   size_t used = parser.Feed(bytes);          // stops after the head and after the message
//   if (parser.state() == RequestParser::State::kDone) Handle(parser.request());
//
// Deliberately strict (RFC 9112): the service stands behind a proxy in tests, so whatever is
// ambiguous (length given twice, bare LF, folded lines, blanks before a colon) is answered with an
// error instead of being guessed at. Bodies are kept whole, up to Limits::body_bytes.

#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace outrigger::mock_ai {

struct Header {
  std::string name;
  std::string value;
};

struct Request {
  std::string method;
  std::string target;
  int version_minor = 1;  // HTTP/1.<n>
  std::vector<Header> headers;
  std::vector<Header> trailers;
  std::string body;
  uint64_t body_bytes = 0;  // read so far, also when the body is discarded
  bool keep_alive = true;
  bool expects_continue = false;
  bool has_body = false;

  // The target without its query.
  std::string_view path() const;
  // The decoded value of a query parameter; empty when absent.
  std::string QueryValue(std::string_view name) const;
  // The first header of that name (any case) or nullptr.
  const std::string* Find(std::string_view name) const;
};

bool EqualsIgnoreCase(std::string_view a, std::string_view b);

struct Limits {
  size_t head_bytes = 64 * 1024;
  uint64_t body_bytes = uint64_t{64} * 1024 * 1024;
};

class RequestParser {
 public:
  enum class State { kHead, kBody, kDone, kFailed };

  explicit RequestParser(Limits limits) : limits_(limits) {}

  // Reads from `data` and returns how many bytes were used. Stops when the head is complete, when
  // the message is complete and when it failed, so that the caller can act in between.
  size_t Feed(std::string_view data);
  // Ready for the next message on the same connection.
  void Reset();
  // From now on the body is counted and dropped, without limit.
  void DiscardBody() { discard_body_ = true; }

  State state() const { return state_; }
  // Some bytes of the current message have been read.
  bool started() const { return state_ != State::kHead || !head_.empty(); }
  // Complete in kDone; in kBody its head is.
  const Request& request() const { return request_; }
  // Set in kFailed: the status to answer with, and what was wrong.
  int error_status() const { return error_status_; }
  const std::string& error() const { return error_; }

 private:
  enum class Part { kLength, kChunkSize, kChunkData, kChunkEnd, kTrailers };

  size_t FeedHead(std::string_view data);
  size_t FeedBody(std::string_view data);
  // Moves a CRLF-terminated line into line_; false while it is incomplete or failed.
  bool FeedLine(std::string_view data, size_t& used);
  void ParseHead();
  bool ParseRequestLine(std::string_view line);
  bool ParseField(std::string_view line, std::vector<Header>& into);
  void DecideFraming();
  void OnChunkSizeLine();
  void KeepBody(std::string_view data);
  void Fail(int status, std::string error);

  Limits limits_;
  State state_ = State::kHead;
  Part part_ = Part::kLength;
  Request request_;
  std::string head_;
  std::string line_;
  uint64_t remaining_ = 0;  // of the body or of the current chunk
  bool discard_body_ = false;
  int error_status_ = 0;
  std::string error_;
};

}  // namespace outrigger::mock_ai
