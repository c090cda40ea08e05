// Request and Response as objects: detaching, and the order in which things are given back.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/http/request.h"
#include "proxy/http/response.h"

namespace outrigger::http {
namespace {

TEST(Request, IsIndependentOfTheReadBufferOnceDetached) {
  std::string buffer = "POST /v1/x?q=1 host tenant name: value trace 10.0.0.1 up: 1 down: 2 id-7";
  const auto view = [&buffer](std::string_view text) {
    return std::string_view(buffer).substr(buffer.find(text), text.size());
  };
  Arena owned;
  Request request;
  {
    Arena arena;
    request.arena = &arena;
    request.method_name = view("POST");
    request.target = view("/v1/x?q=1");
    request.path = view("/v1/x");
    request.query = view("q=1");
    request.authority = view("host");
    request.tenant = view("tenant");
    request.peer_address = view("10.0.0.1");
    request.id = view("id-7");
    request.traceparent = view("trace");
    request.trace_id = view("race");
    request.headers.Add(view("name"), view("value"));
    request.upstream_headers.Add(view("up"), view("1"));
    request.response_headers.Add(view("down"), view("2"));
    request.Detach(owned);
  }
  buffer.assign(buffer.size(), '#');
  EXPECT_EQ(request.arena, &owned);
  EXPECT_EQ(request.method_name, "POST");
  EXPECT_EQ(request.target, "/v1/x?q=1");
  EXPECT_EQ(request.path, "/v1/x");
  EXPECT_EQ(request.query, "q=1");
  EXPECT_EQ(request.authority, "host");
  EXPECT_EQ(request.tenant, "tenant");
  EXPECT_EQ(request.peer_address, "10.0.0.1");
  EXPECT_EQ(request.id, "id-7");
  EXPECT_EQ(request.traceparent, "trace");
  EXPECT_EQ(request.trace_id, "race");
  EXPECT_EQ(request.headers.Get("name"), "value");
  EXPECT_EQ(request.upstream_headers.Get("up"), "1");
  EXPECT_EQ(request.response_headers.Get("down"), "2");
}

using Notes = std::vector<std::string>;

class NotingLease final : public Lease {
 public:
  NotingLease(Notes& notes, std::string name) : notes_(notes), name_(std::move(name)) {}
  ~NotingLease() override { notes_.push_back("~" + name_); }
  void OnStreamEnd(StreamOutcome outcome) override {
    notes_.push_back(name_ + (outcome == StreamOutcome::kComplete ? " complete" : " cut"));
  }

 private:
  Notes& notes_;
  const std::string name_;
};

class NotingBody final : public Body {
 public:
  explicit NotingBody(Notes& notes) : notes_(notes) {}
  ~NotingBody() override { notes_.push_back("~body"); }
  Task<ChunkResult> Read() override { co_return Chunk{{}, true}; }

 private:
  Notes& notes_;
};

Response Make(Notes& notes) {
  Response response;
  response.body = std::make_unique<NotingBody>(notes);
  response.Hold(std::make_unique<NotingLease>(notes, "inner"));
  response.Hold(std::make_unique<NotingLease>(notes, "outer"));
  return response;
}

TEST(Response, GivesBackLeasesInReverseOrderBeforeTheBody) {
  Notes notes;
  { const Response response = Make(notes); }
  EXPECT_EQ(notes, (Notes{"~outer", "~inner", "~body"}));
}

TEST(Response, GivesThemBackInThatOrderWhenItIsReplaced) {
  Notes notes;
  Notes other;
  Response response = Make(notes);
  response = Make(other);
  EXPECT_EQ(notes, (Notes{"~outer", "~inner", "~body"}));
  EXPECT_TRUE(other.empty());
  response = Response();
  EXPECT_EQ(other, (Notes{"~outer", "~inner", "~body"}));
}

TEST(Response, TellsEveryLeaseHowTheStreamEnded) {
  for (StreamOutcome outcome : {StreamOutcome::kComplete, StreamOutcome::kCut}) {
    const std::string word = outcome == StreamOutcome::kComplete ? " complete" : " cut";
    Notes notes;
    Response response = Make(notes);
    response.EndStream(outcome);
    EXPECT_EQ(notes, (Notes{"outer" + word, "~outer", "inner" + word, "~inner"}));
    response.EndStream(outcome);
    EXPECT_EQ(notes.size(), 4u);
  }
}

TEST(Response, LeasesMoveWithIt) {
  Notes notes;
  Response response = Make(notes);
  Response moved = std::move(response);
  EXPECT_TRUE(notes.empty());
  response.EndStream(StreamOutcome::kCut);  // NOLINT: holds nothing any more
  EXPECT_TRUE(notes.empty());
  moved.EndStream(StreamOutcome::kComplete);
  EXPECT_EQ(notes.size(), 4u);
}

}  // namespace
}  // namespace outrigger::http
