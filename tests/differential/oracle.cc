#include "tests/differential/oracle.h"

#include <llhttp.h>

namespace outrigger::http1 {
namespace {

struct State {
  Reading reading;
  std::string target;
  bool has_message = false;
};

Reading& ReadingOf(llhttp_t* parser) { return static_cast<State*>(parser->data)->reading; }

int OnTarget(llhttp_t* parser, const char* at, size_t size) {
  static_cast<State*>(parser->data)->target.append(at, size);
  return 0;
}

int OnFieldName(llhttp_t* parser, const char* at, size_t size) {
  auto& fields = ReadingOf(parser).fields;
  // A name may come in pieces; after a value the next one begins.
  fields.back().first.append(at, size);
  return 0;
}

int OnFieldValue(llhttp_t* parser, const char* at, size_t size) {
  ReadingOf(parser).fields.back().second.append(at, size);
  return 0;
}

int OnValueComplete(llhttp_t* parser) {
  ReadingOf(parser).fields.emplace_back();
  return 0;
}

int OnHead(llhttp_t* parser) {
  State& state = *static_cast<State*>(parser->data);
  state.reading.has_head = true;
  state.reading.start =
      parser->type == HTTP_REQUEST
          ? std::string(llhttp_method_name(static_cast<llhttp_method_t>(parser->method))) + " " +
                state.target
          : std::to_string(parser->status_code);
  return 0;
}

int OnBody(llhttp_t* parser, const char* at, size_t size) {
  ReadingOf(parser).body.append(at, size);
  return 0;
}

int OnMessage(llhttp_t* parser) {
  static_cast<State*>(parser->data)->has_message = true;
  return HPE_PAUSED;
}

}  // namespace

Reading ReadWithLlhttp(Side side, std::string_view bytes) {
  llhttp_settings_t settings;
  llhttp_settings_init(&settings);
  settings.on_url = OnTarget;
  settings.on_header_field = OnFieldName;
  settings.on_header_value = OnFieldValue;
  settings.on_header_value_complete = OnValueComplete;
  settings.on_headers_complete = OnHead;
  settings.on_body = OnBody;
  settings.on_message_complete = OnMessage;
  State state;
  state.reading.fields.emplace_back();
  llhttp_t parser;
  llhttp_init(&parser, side == Side::kRequest ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
  parser.data = &state;
  const llhttp_errno_t error = llhttp_execute(&parser, bytes.data(), bytes.size());
  Reading& reading = state.reading;
  reading.fields.pop_back();
  if (state.has_message && (error == HPE_PAUSED || error == HPE_PAUSED_UPGRADE)) {
    reading.verdict = Verdict::kComplete;
    reading.consumed = static_cast<size_t>(llhttp_get_error_pos(&parser) - bytes.data());
  } else if (error != HPE_OK) {
    reading.verdict = Verdict::kRefused;
    reading.error = llhttp_errno_name(error);
  } else if (reading.has_head && llhttp_message_needs_eof(&parser) != 0) {
    reading.verdict = Verdict::kUntilClose;
  }
  return reading;
}

}  // namespace outrigger::http1
