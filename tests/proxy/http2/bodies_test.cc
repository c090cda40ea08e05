// Bodies in both directions, between a stream and what reads or sends it.

#include <gtest/gtest.h>

#include <optional>
#include <random>
#include <string>

#include "proxy/coro/task.h"
#include "proxy/http2/incoming_body.h"
#include "proxy/http2/outgoing_body.h"
#include "tests/support/fake_loop.h"

namespace outrigger::http2 {
namespace {

class Owner final : public IncomingBody::Owner {
 public:
  void OnBodyConsumed(size_t bytes) override { consumed += bytes; }
  void OnBodyWait(bool is_waiting) override { waits += is_waiting ? 1 : 0; }

  size_t consumed = 0;
  int waits = 0;
};

class IncomingBodyTest : public testing::Test {
 protected:
  Task<void> ReadAll(http::Body& body) {
    for (;;) {
      http::ChunkResult chunk = co_await body.Read();
      if (!chunk.ok()) {
        failure_ = chunk.error().reason;
        co_return;
      }
      text_ += chunk->data;
      if (chunk->is_last) break;
    }
    is_whole_ = true;
  }

  FakeLoop loop_;
  MemoryBudget budget_{1 << 24};
  net::BufferPool pool_{budget_};
  Owner owner_;
  std::string text_;
  bool is_whole_ = false;
  std::optional<http::Reason> failure_;
};

TEST_F(IncomingBodyTest, GivesBackTheWindowForWhatTheReaderHasDoneWith) {
  IncomingBody incoming(owner_, loop_, pool_);
  const std::unique_ptr<http::Body> body = incoming.NewBody();
  incoming.Append("hello ");
  EXPECT_EQ(owner_.consumed, 0u);
  Task<void> task = ReadAll(*body);
  task.Start();
  EXPECT_EQ(text_, "hello ");
  EXPECT_EQ(owner_.consumed, 6u);
  EXPECT_EQ(owner_.waits, 1);
  incoming.Append("world");
  incoming.Wake();
  EXPECT_EQ(owner_.consumed, 11u);
  incoming.End();
  incoming.Wake();
  EXPECT_TRUE(is_whole_);
  EXPECT_EQ(text_, "hello world");
  EXPECT_EQ(pool_.lent_blocks(), 0u);
}

TEST_F(IncomingBodyTest, HoldsAWholeWindowInAnyPieces) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 50; ++round) {
    IncomingBody incoming(owner_, loop_, pool_);
    const std::unique_ptr<http::Body> body = incoming.NewBody();
    std::string sent;
    while (sent.size() < IncomingBody::kWindowBytes) {
      const size_t most = static_cast<size_t>(IncomingBody::kWindowBytes) - sent.size();
      const std::string piece(std::min<size_t>(most, 1 + random() % 16384),
                              static_cast<char>('a' + random() % 26));
      incoming.Append(piece);
      sent += piece;
    }
    incoming.End();
    EXPECT_EQ(body->Peek(), sent);
    text_.clear();
    Task<void> task = ReadAll(*body);
    task.Start();
    EXPECT_EQ(text_, sent);
  }
}

TEST_F(IncomingBodyTest, FailsAboveItsLimitAndHoldsNothingMore) {
  IncomingBody incoming(owner_, loop_, pool_);
  incoming.SetMaxBytes(10);
  const std::unique_ptr<http::Body> body = incoming.NewBody();
  Task<void> task = ReadAll(*body);
  task.Start();
  incoming.Append("123456789012345");
  incoming.Wake();
  EXPECT_EQ(failure_, http::Reason::kBodyTooLarge);
  incoming.Append("more");
  EXPECT_EQ(owner_.consumed, 19u);
  EXPECT_EQ(pool_.lent_blocks(), 0u);
}

TEST_F(IncomingBodyTest, ComparesWithTheAnnouncedLengthAndHoldsNothingAboveIt) {
  IncomingBody incoming(owner_, loop_, pool_);
  const std::unique_ptr<http::Body> body = incoming.NewBody();
  incoming.Append("123");
  EXPECT_TRUE(incoming.IsAsExpected(true));
  incoming.Expect(5);
  EXPECT_TRUE(incoming.IsAsExpected(false));
  EXPECT_FALSE(incoming.IsAsExpected(true));
  incoming.Append("45");
  EXPECT_TRUE(incoming.IsAsExpected(true));
  incoming.Append("6");
  EXPECT_FALSE(incoming.IsAsExpected(false));
  EXPECT_FALSE(incoming.IsAsExpected(true));
  Task<void> task = ReadAll(*body);
  task.Start();
  EXPECT_EQ(text_, "12345");
  EXPECT_FALSE(is_whole_);
}

TEST_F(IncomingBodyTest, AReaderThatOutlivesItsStreamFails) {
  auto incoming = std::make_unique<IncomingBody>(owner_, loop_, pool_);
  const std::unique_ptr<http::Body> body = incoming->NewBody();
  incoming->Append("x");
  incoming.reset();
  EXPECT_FALSE(body->Peek().has_value());
  Task<void> task = ReadAll(*body);
  task.Start();
  EXPECT_TRUE(failure_.has_value());
}

TEST_F(IncomingBodyTest, AReaderThatLeavesWhileItWaitsLeavesNothing) {
  IncomingBody incoming(owner_, loop_, pool_);
  std::unique_ptr<http::Body> body = incoming.NewBody();
  {
    Task<void> task = ReadAll(*body);
    task.Start();
  }
  body.reset();
  incoming.Append("x");
  incoming.Wake();
  EXPECT_EQ(text_, "");
}

TEST_F(IncomingBodyTest, TakesTrailersThatMayComeLateAndNoOthers) {
  IncomingBody incoming(owner_, loop_, pool_);
  const std::unique_ptr<http::Body> body = incoming.NewBody();
  EXPECT_TRUE(incoming.AddTrailer("grpc-status", "0"));
  EXPECT_TRUE(incoming.AddTrailer("grpc-message", "failed: "));
  EXPECT_FALSE(incoming.AddTrailer("x", " a"));
  EXPECT_FALSE(incoming.AddTrailer("X", "a"));
  EXPECT_FALSE(incoming.AddTrailer("Grpc-Status", "0"));
  EXPECT_FALSE(incoming.AddTrailer("", "a"));
  EXPECT_FALSE(incoming.AddTrailer(":path", "/"));
  EXPECT_FALSE(incoming.AddTrailer("content-length", "0"));
  EXPECT_FALSE(incoming.AddTrailer("host", "a"));
  EXPECT_FALSE(incoming.AddTrailer("x", "a\r\nb"));
  EXPECT_FALSE(incoming.AddTrailer("x", std::string(IncomingBody::kMaxTrailerBytes, 'a')));
  EXPECT_EQ(body->trailers(), nullptr);
  incoming.End();
  EXPECT_EQ(body->trailers()->Get("grpc-status"), "0");
  EXPECT_EQ(body->trailers()->Get("grpc-message"), "failed:");
}

TEST(OutgoingBody, SendsLentAndKeptBytesInOrderAndChargesWhatItKeeps) {
  MemoryBudget budget(1 << 20);
  OutgoingBody body(budget);
  const std::string lent = "0123456789";
  body.Lend(lent);
  EXPECT_EQ(body.Front(4), "0123");
  EXPECT_EQ(body.Front(4).data(), lent.data());
  body.Consume(4);
  EXPECT_EQ(budget.used_bytes(), 0u);
  body.Keep();
  EXPECT_EQ(budget.used_bytes(), 6u);
  body.Append("abc");
  EXPECT_EQ(body.size(), 9u);
  EXPECT_EQ(body.Front(100), "456789abc");
  body.Consume(9);
  EXPECT_TRUE(body.empty());
  EXPECT_EQ(budget.used_bytes(), 0u);
}

TEST(OutgoingBody, AsksToBeResumedWhenThereIsNothingYet) {
  MemoryBudget budget(1 << 20);
  OutgoingBody body(budget);
  nghttp2_data_provider provider = body.provider();
  const auto read = [&](size_t length, uint32_t& flags) {
    return provider.read_callback(nullptr, 1, nullptr, length, &flags, &provider.source, nullptr);
  };
  uint32_t flags = 0;
  EXPECT_EQ(read(100, flags), NGHTTP2_ERR_DEFERRED);
  EXPECT_TRUE(body.is_deferred());
  body.Append("hello");
  EXPECT_EQ(read(3, flags), 3);
  EXPECT_EQ(flags, NGHTTP2_DATA_FLAG_NO_COPY);
  EXPECT_FALSE(body.is_deferred());
  body.Consume(3);
  body.Finish(nullptr);
  flags = 0;
  EXPECT_EQ(read(100, flags), 2);
  EXPECT_EQ(flags, NGHTTP2_DATA_FLAG_NO_COPY | NGHTTP2_DATA_FLAG_EOF);
}

}  // namespace
}  // namespace outrigger::http2
