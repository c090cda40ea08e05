#include "proxy/http1/answer_writer.h"

#include "proxy/tunnel/upgrade.h"

namespace outrigger::http1 {

using Result = AnswerWriter::Result;

namespace {

Result Outcome(bool is_connected) { return is_connected ? Result::kOk : Result::kBroken; }

}  // namespace

Result AnswerWriter::WriteHead(int status, const http::HeaderList& headers,
                               const BodyFraming& framing, const HeadOptions& options) {
  const size_t room = MaxHeadBytes(std::string_view(), headers, options);
  char* at = output_.Reserve(room);
  ByteSink sink{at, at + room};
  if (WriteResponseHead(sink, status, {}, headers, framing, options) != WriteResult::kOk) {
    // A field that must not be written: the parser or the maker of a local reply let it pass.
    return Result::kInvalid;
  }
  output_.Commit(static_cast<size_t>(sink.at - at));
  return Result::kOk;
}

void AnswerWriter::ChooseFraming(const http::ResponseHeadToSend& head) {
  if (asked_.is_head_request || head.status == 204 || head.status == 304) {
    framing_ = {};
  } else if (!head.has_body) {
    framing_ = {BodyKind::kLength, 0};
  } else if (head.body_length.has_value()) {
    framing_ = {BodyKind::kLength, *head.body_length};
  } else if (asked_.client_minor_version == 1) {
    framing_ = {BodyKind::kChunked, 0};
  } else {
    framing_ = {BodyKind::kUntilClose, 0};
  }
}

Result AnswerWriter::WriteHead(const http::ResponseHeadToSend& head, bool is_last_answer) {
  HeadOptions options;
  if (framing_.kind == BodyKind::kNone && head.status != 204) {
    options.declared_length = head.body_length;
  }
  if (is_last_answer) {
    options.connection = ConnectionOption::kClose;
  } else if (asked_.client_minor_version == 0) {
    options.connection = ConnectionOption::kKeepAlive;
  }
  return WriteHead(head.status, *head.headers, framing_, options);
}

Result AnswerWriter::WriteTunnelHead(const http::ResponseHeadToSend& head,
                                     std::string_view protocol, std::string_view accept) {
  framing_ = {BodyKind::kUntilClose, 0};
  http::HeaderList extra;
  if (protocol == tunnel::kWebSocket) extra.Add(tunnel::kAcceptField, accept);
  HeadOptions options;
  options.upgrade = protocol;
  options.extra = &extra;
  return WriteHead(101, *head.headers, {}, options);
}

Result AnswerWriter::WriteInformational(int status, const http::HeaderList& headers) {
  return WriteHead(status, headers, {}, {});
}

void AnswerWriter::WriteRefusal(int status, const http::HeaderList& headers,
                                std::string_view body) {
  HeadOptions options;
  options.connection = ConnectionOption::kClose;
  if (WriteHead(status, headers, {BodyKind::kLength, body.size()}, options) == Result::kOk) {
    (void)output_.Send(body);
  }
}

Result AnswerWriter::WriteData(std::string_view data, bool is_last) {
  switch (framing_.kind) {
    case BodyKind::kNone:
      return Result::kOk;
    case BodyKind::kLength:
      if (data.size() > framing_.length) return Result::kInvalid;
      framing_.length -= data.size();
      return Outcome(output_.Write(data));
    case BodyKind::kUntilClose:
      return Outcome(output_.Write(data));
    case BodyKind::kChunked:
      break;
  }
  if (data.empty()) return Result::kOk;
  char* at = output_.Reserve(kMaxChunkHeaderBytes);
  ByteSink sink{at, at + kMaxChunkHeaderBytes};
  (void)WriteChunkHeader(sink, data.size());  // the room is there
  output_.Commit(static_cast<size_t>(sink.at - at));
  if (!is_last) return Outcome(output_.Write(data, kChunkEnd));
  framing_.kind = BodyKind::kNone;
  return Outcome(output_.Write(data, "\r\n0\r\n\r\n"));
}

Result AnswerWriter::Finish(const http::HeaderList* trailers) {
  if (framing_.kind == BodyKind::kLength && framing_.length > 0) return Result::kInvalid;
  if (framing_.kind != BodyKind::kChunked) return Result::kOk;
  static const http::HeaderList kNoTrailers;
  const http::HeaderList& fields = trailers != nullptr ? *trailers : kNoTrailers;
  const size_t room = MaxHeadBytes(std::string_view(), fields, {});
  char* at = output_.Reserve(room);
  ByteSink sink{at, at + room};
  if (WriteLastChunk(sink, fields) != WriteResult::kOk) return Result::kInvalid;
  output_.Commit(static_cast<size_t>(sink.at - at));
  return Result::kOk;
}

}  // namespace outrigger::http1
