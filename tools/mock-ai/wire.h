// Answers as bytes of HTTP/1.

#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/mock-ai/answer.h"

namespace outrigger::mock_ai {

std::string_view ReasonPhrase(int status);

struct HeadOptions {
  std::string_view date;            // the Date header, left out when empty
  std::string_view keep_alive;      // the Keep-Alive header, left out when empty
  bool close = false;               // says `connection: close`
  bool confirm_keep_alive = false;  // says `connection: keep-alive`, for HTTP/1.0
};

// The head with its empty line; the framing headers come from the answer.
void AppendHead(const Answer& answer, const HeadOptions& options, std::string& out);
// A 1xx head; 103 carries a Link.
void AppendInformational(int status, std::string& out);
void AppendChunk(std::string_view data, std::string& out);
// The last chunk and the trailers.
void AppendChunkedEnd(const Answer& answer, std::string& out);
// `size` bytes of the pattern abc..zabc.. as it stands at `offset`.
void AppendFill(uint64_t offset, uint64_t size, std::string& out);
// False for statuses that never have a body (1xx, 204, 304).
bool MayHaveBody(int status);

}  // namespace outrigger::mock_ai
