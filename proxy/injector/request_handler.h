// One request on a connection of the injector: reads the body, has it answered, sends the answer.
//
// Made for each request by Server. The whole request must have come within ten seconds, which is
// as long as the API server waits by default, and all bodies together fit the memory budget: 503
// else, and what follows is the webhook's failurePolicy. One thread.

#pragma once

#include <memory>
#include <string>

#include "proxy/base/arena.h"
#include "proxy/base/memory_budget.h"
#include "proxy/event/deadline_queue.h"
#include "proxy/http/server_stream.h"
#include "proxy/injector/webhook.h"

namespace outrigger::injector {

// What the requests share; outlives them.
struct HandlerContext {
  Webhook& webhook;
  MemoryBudget& budget;
  DeadlineQueue& deadlines;
  int64_t active = 0;
};

class RequestHandler final : public http::StreamHandler {
 public:
  explicit RequestHandler(HandlerContext& context);
  ~RequestHandler() override;

  http::Request& request() override { return request_; }
  void Start(http::ServerStream& stream) override;
  void OnClientGone() override {}
  void OnShutdown() override;

 private:
  Task<void> Run();
  void OnDeadline();
  void Answer(const Reply& reply);
  // Without an answer of the webhook's.
  void Refuse(int status, std::string_view text);

  HandlerContext& context_;
  Arena arena_;
  http::Request request_;
  http::ServerStream* stream_ = nullptr;
  BudgetLease lease_;
  std::string body_;
  DeadlineEntry deadline_;
  bool is_answered_ = false;
  Task<void> task_;
};

}  // namespace outrigger::injector
