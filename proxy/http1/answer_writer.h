// Writes the answers of a server connection in HTTP/1: heads, bodies in their framing, trailers.
//
//   writer.Begin({.is_head_request = false, .client_minor_version = 1});
//   writer.WriteHead(head, is_last_answer);
//   writer.WriteData(data, is_last);
//   writer.Finish(trailers);
//
// Everything goes into the connection's Output and leaves when that is flushed. A head with a field
// that must not be written is written not at all. Belongs to the connection. One worker.

#pragma once

#include <cstdint>
#include <string_view>

#include "proxy/http/server_stream.h"
#include "proxy/http1/framing.h"
#include "proxy/http1/serializer.h"
#include "proxy/net/output.h"

namespace outrigger::http1 {

class AnswerWriter {
 public:
  enum class [[nodiscard]] Result : uint8_t {
    kOk,
    kBroken,   // the connection is
    kInvalid,  // the answer would not be what its head has said: it must be aborted
  };

  struct Asked {
    bool is_head_request = false;
    uint8_t client_minor_version = 1;
  };

  explicit AnswerWriter(net::Output& output) : output_(output) {}

  // A new request is to be answered.
  void Begin(const Asked& asked) { asked_ = asked; }
  // The client understands answers of 1xx.
  bool may_be_informed() const { return asked_.client_minor_version != 0; }

  // Decides the body's framing. `is_last_answer`: of the connection; the client is told.
  void ChooseFraming(const http::ResponseHeadToSend& head);
  Result WriteHead(const http::ResponseHeadToSend& head, bool is_last_answer);
  // 101, after which bytes are written as they are. `accept`: of a WebSocket, else empty.
  Result WriteTunnelHead(const http::ResponseHeadToSend& head, std::string_view protocol,
                         std::string_view accept);
  Result WriteInformational(int status, const http::HeaderList& headers);
  // A whole answer, as the last of the connection. `body` is sent at once.
  void WriteRefusal(int status, const http::HeaderList& headers, std::string_view body);

  // `is_last`: Finish() without trailers follows.
  Result WriteData(std::string_view data, bool is_last);
  Result Finish(const http::HeaderList* trailers);

  // Only closing the connection tells where the body ends.
  bool ends_by_closing() const { return framing_.kind == BodyKind::kUntilClose; }

 private:
  Result WriteHead(int status, const http::HeaderList& headers, const BodyFraming& framing,
                   const HeadOptions& options);

  net::Output& output_;
  Asked asked_;
  BodyFraming framing_;  // `length` counts down
};

}  // namespace outrigger::http1
