#include "filters/common/stream_grammar.h"

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "filters/common/json_cursor.h"
#include "proxy/http/headers.h"

namespace outrigger::common {
namespace {

constexpr EventMeaning kComment = {EventKind::kComment};
constexpr EventMeaning kPreamble = {EventKind::kPreamble};
constexpr EventMeaning kContent = {EventKind::kContent};
constexpr EventMeaning kTerminal = {EventKind::kTerminal};

// Whether "role", "error" or "type" stands in the text, quotes included. In a JSON string a quote
// is escaped, so that such a word is a key or a whole value. One pass over the quotes: this is
// asked for almost every event of a chat, and the answer is almost always no.
bool HasStructuralWord(std::string_view text) {
  if (text.empty()) return false;
  const char* const end = text.data() + text.size();
  for (const char* at = text.data();;) {
    at = static_cast<const char*>(std::memchr(at, '"', static_cast<size_t>(end - at)));
    if (at == nullptr) return false;
    ++at;
    if (at == end) return false;
    const std::string_view rest(at, static_cast<size_t>(end - at));
    switch (rest.front()) {
      case 'r':
        if (rest.substr(0, 5) == "role\"") return true;
        break;
      case 'e':
        if (rest.substr(0, 6) == "error\"") return true;
        break;
      case 't':
        if (rest.substr(0, 5) == "type\"") return true;
        break;
      default:
        break;
    }
  }
}

bool ContainsIgnoreCase(std::string_view text, std::string_view part) {
  for (size_t i = 0; i + part.size() <= text.size(); ++i) {
    if (http::EqualsIgnoreCase(text.substr(i, part.size()), part)) return true;
  }
  return false;
}

template <size_t kSize>
bool ContainsAny(std::string_view text, const std::string_view (&parts)[kSize]) {
  for (std::string_view part : parts) {
    if (ContainsIgnoreCase(text, part)) return true;
  }
  return false;
}

// Parts of the `type` and `code` words of OpenAI, Anthropic, vLLM, TGI and gRPC-shaped services.
constexpr std::string_view kRateLimitWords[] = {
    "rate_limit",      "ratelimit", "too_many_requests",
    "toomanyrequests", "quota",     "resource_exhausted"};
constexpr std::string_view kOverloadedWords[] = {"overloaded", "unavailable"};
constexpr std::string_view kInvalidWords[] = {
    "invalid",           "bad_request",    "badrequest",     "authentication",
    "permission",        "billing",        "not_found",      "notfound",
    "request_too_large", "context_length", "content_policy", "unsupported"};

// What the fields of an error object say, gathered over its levels.
struct ErrorFields {
  int64_t status = 0;
  bool is_rate_limit = false;
  bool is_overloaded = false;
  bool is_invalid = false;

  void AddWord(std::string_view word) {
    is_rate_limit |= ContainsAny(word, kRateLimitWords);
    is_overloaded |= ContainsAny(word, kOverloadedWords);
    is_invalid |= ContainsAny(word, kInvalidWords);
  }

  StreamErrorClass Class() const {
    if (status == 429) return StreamErrorClass::kRateLimit;
    if (status == 503 || status == 529) return StreamErrorClass::kOverloaded;
    if (status >= 400 && status < 500 && status != 408) return StreamErrorClass::kInvalidRequest;
    if (status >= 500 && status < 600) return StreamErrorClass::kServer;
    if (is_rate_limit) return StreamErrorClass::kRateLimit;
    if (is_overloaded) return StreamErrorClass::kOverloaded;
    if (is_invalid) return StreamErrorClass::kInvalidRequest;
    return StreamErrorClass::kServer;
  }
};

// Reads `type`, `code` and `status` of the object at the cursor, and of the objects `error` and
// `response` in it: {"type":"error","error":{"type":...}}, {"response":{"error":{"code":...}}}.
void ReadErrorFields(JsonCursor& json, int levels, ErrorFields* fields) {
  std::string_view key;
  if (!json.EnterObject()) return;
  while (json.NextKey(&key)) {
    const bool is_nested = key == "error" || key == "response";
    if (is_nested && levels > 0 && json.Peek() == JsonType::kObject) {
      ReadErrorFields(json, levels - 1, fields);
      continue;
    }
    if (key == "type" || key == "code" || key == "status") {
      std::string_view word;
      int64_t number = 0;
      if (json.ReadString(&word)) {
        fields->AddWord(word);
        continue;
      }
      if (json.ReadInteger(&number)) {
        fields->status = number;
        continue;
      }
    }
    if (!json.SkipValue()) return;
  }
}

EventMeaning ErrorOf(std::string_view data) {
  JsonCursor json(data);
  ErrorFields fields;
  ReadErrorFields(json, /*levels=*/2, &fields);
  return {EventKind::kError, fields.Class()};
}

// Whether the delta at the cursor has a role and nothing else that is not empty.
bool IsRoleOnlyDelta(JsonCursor& json) {
  bool has_role = false;
  bool has_more = false;
  std::string_view key;
  if (!json.EnterObject()) return false;
  while (json.NextKey(&key)) {
    if (key == "role") {
      has_role = json.Peek() == JsonType::kString;
    } else if (!json.IsEmptyValue()) {
      has_more = true;
    }
    if (!json.SkipValue()) return false;
  }
  return has_role && !has_more && !json.has_failed();
}

// Whether every choice of the array at the cursor is a role-only delta. Always consumes the array
// or fails.
bool AreRoleOnlyChoices(JsonCursor& json) {
  size_t choices = 0;
  size_t role_only = 0;
  if (!json.EnterArray()) return false;
  while (json.NextElement()) {
    ++choices;
    bool is_role_only = false;
    bool has_more = false;
    std::string_view key;
    if (!json.EnterObject()) {
      json.SkipValue();
      continue;
    }
    while (json.NextKey(&key)) {
      if (key == "delta" && json.Peek() == JsonType::kObject) {
        is_role_only = IsRoleOnlyDelta(json);
        continue;
      }
      if ((key == "finish_reason" || key == "text") && !json.IsEmptyValue()) has_more = true;
      if (!json.SkipValue()) return false;
    }
    if (is_role_only && !has_more) ++role_only;
  }
  return !json.has_failed() && choices > 0 && choices == role_only;
}

bool IsOpenAiType(std::string_view type) {
  return type == "error" || type.substr(0, 9) == "response.";
}

EventMeaning OpenAiTyped(std::string_view type, std::string_view data) {
  if (type == "response.created" || type == "response.in_progress") return kPreamble;
  if (type == "response.completed" || type == "response.incomplete") return kTerminal;
  if (type == "response.failed" || type == "error") return ErrorOf(data);
  return kContent;
}

EventMeaning ClassifyOpenAi(const SseEvent& event) {
  const std::string_view data = http::TrimOws(event.data);
  if (data == "[DONE]") return kTerminal;
  if (IsOpenAiType(event.type)) return OpenAiTyped(event.type, data);
  if (!HasStructuralWord(data)) return kContent;
  JsonCursor json(data);
  bool is_role_only = false;
  std::string_view key;
  if (!json.EnterObject()) return kContent;
  while (json.NextKey(&key)) {
    const JsonType type = json.Peek();
    std::string_view word;
    if (key == "error") {
      const bool is_error = type == JsonType::kObject || type == JsonType::kString;
      if (is_error && !json.IsEmptyValue()) return ErrorOf(data);
    } else if (key == "object" && json.ReadString(&word)) {
      if (word == "error") return ErrorOf(data);
      continue;
    } else if (key == "type" && json.ReadString(&word)) {
      if (IsOpenAiType(word)) return OpenAiTyped(word, data);
      continue;
    } else if (key == "choices" && type == JsonType::kArray) {
      is_role_only = AreRoleOnlyChoices(json);
      if (json.has_failed()) return kContent;
      continue;
    }
    if (!json.SkipValue()) return kContent;
  }
  return is_role_only && !json.has_failed() ? kPreamble : kContent;
}

std::string_view TypeMember(std::string_view data) {
  JsonCursor json(data);
  std::string_view key;
  std::string_view word;
  if (!json.EnterObject()) return {};
  while (json.NextKey(&key)) {
    if (key == "type") return json.ReadString(&word) ? word : std::string_view();
    if (!json.SkipValue()) return {};
  }
  return {};
}

EventMeaning ClassifyAnthropic(const SseEvent& event) {
  std::string_view type = event.type;
  if (type.empty() || type == "message") type = TypeMember(event.data);
  if (type == "content_block_delta") return kContent;
  if (type == "message_start" || type == "ping") return kPreamble;
  if (type == "message_stop") return kTerminal;
  if (type == "error") return ErrorOf(event.data);
  return kContent;
}

}  // namespace

EventMeaning Classify(StreamGrammar grammar, const SseEvent& event) {
  if (!event.has_data) return kComment;
  if (event.type == "ping") return kPreamble;
  if (event.type == "error") return ErrorOf(event.data);
  switch (grammar) {
    case StreamGrammar::kOpenAi:
      return ClassifyOpenAi(event);
    case StreamGrammar::kAnthropic:
      return ClassifyAnthropic(event);
    case StreamGrammar::kGeneric:
      break;
  }
  return event.data == "[DONE]" ? kTerminal : kContent;
}

int StatusOfStreamError(StreamGrammar grammar, StreamErrorClass error) {
  switch (error) {
    case StreamErrorClass::kOverloaded:
      return grammar == StreamGrammar::kAnthropic ? 529 : 503;
    case StreamErrorClass::kRateLimit:
      return 429;
    case StreamErrorClass::kInvalidRequest:
      return 400;
    case StreamErrorClass::kNone:
    case StreamErrorClass::kServer:
      break;
  }
  return 502;
}

}  // namespace outrigger::common
