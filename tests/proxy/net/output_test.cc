#include "proxy/net/output.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "proxy/base/random.h"
#include "tests/proxy/net/support.h"

namespace outrigger::net {
namespace {

class OutputTest : public testing::Test {
 protected:
  explicit OutputTest(int send_buffer_bytes = 0) : pair_(UnixPair(send_buffer_bytes)) {}

  EventLoop loop_;
  MemoryBudget budget_{size_t{1} << 30};
  BufferPool pool_{budget_};
  CountingHandler handler_;
  Connected pair_;
  Socket socket_{loop_, pair_.ours, handler_};
  Output output_{socket_, pool_};
};

TEST_F(OutputTest, StagesUntilItIsFlushed) {
  std::memcpy(output_.Reserve(5), "head ", 5);
  output_.Commit(5);
  output_.Stage("more");
  EXPECT_EQ(output_.staged_bytes(), 9u);
  EXPECT_EQ(ReadAvailable(pair_.peer.get()), "");
  EXPECT_TRUE(output_.Flush());
  EXPECT_EQ(ReadAvailable(pair_.peer.get()), "head more");
  EXPECT_EQ(pool_.lent_blocks(), 0u);
  EXPECT_TRUE(output_.Flush());
  EXPECT_EQ(ReadAvailable(pair_.peer.get()), "");
}

TEST_F(OutputTest, SendsStageDataAndTailInOrder) {
  for (size_t size : {size_t{0}, size_t{1}, size_t{4096}, size_t{4097}, size_t{60'000}}) {
    const std::string data(size, 'd');
    output_.Stage("<");
    EXPECT_TRUE(output_.Send(data, ">"));
    EXPECT_EQ(ReadAvailable(pair_.peer.get()), "<" + data + ">");
    EXPECT_TRUE(output_.Send(data, "!"));
    EXPECT_EQ(ReadAvailable(pair_.peer.get()), data + "!");
    EXPECT_EQ(pool_.lent_blocks(), 0u);
  }
}

TEST_F(OutputTest, ReservesMoreThanASmallBlock) {
  output_.Stage("small ");
  std::memset(output_.Reserve(40'000), 'x', 40'000);
  output_.Commit(40'000);
  // Does not fit behind it: what is staged leaves first.
  std::memset(output_.Reserve(60'000), 'y', 60'000);
  output_.Commit(60'000);
  EXPECT_TRUE(output_.Flush());
  EXPECT_EQ(ReadAvailable(pair_.peer.get()),
            "small " + std::string(40'000, 'x') + std::string(60'000, 'y'));
}

TEST_F(OutputTest, KnowsABrokenConnection) {
  pair_.peer.Close();
  output_.Stage("head");
  EXPECT_FALSE(output_.Send("body"));
  EXPECT_EQ(pool_.lent_blocks(), 0u);
  EXPECT_EQ(output_.pending_bytes(), 0u);
  socket_.Close();
  EXPECT_FALSE(output_.Send("more"));
  output_.Stage("more");
  EXPECT_FALSE(output_.Flush());
  EXPECT_EQ(pool_.lent_blocks(), 0u);
}

class SlowOutputTest : public OutputTest {
 protected:
  SlowOutputTest() : OutputTest(4096) {
    handler_.on_writable = [this] { is_connected_ &= output_.OnWritable(); };
  }

  bool is_connected_ = true;
};

TEST_F(SlowOutputTest, KeepsWhatTheKernelDoesNotTake) {
  const size_t idle = budget_.used_bytes();
  const std::string data(200'000, 'd');
  output_.Stage("head");
  EXPECT_TRUE(output_.Send(data, "tail"));
  const size_t pending = output_.pending_bytes();
  EXPECT_GT(pending, 0u);
  EXPECT_GE(budget_.used_bytes(), idle + pending);
  std::string received;
  EXPECT_TRUE(RunUntil(loop_, [&] {
    received += ReadAvailable(pair_.peer.get());
    return received.size() == data.size() + 8;
  }));
  EXPECT_EQ(received, "head" + data + "tail");
  EXPECT_EQ(output_.pending_bytes(), 0u);
  // Nothing is asked for any more when all is sent.
  const int calls = handler_.writable;
  RunFor(loop_, absl::Milliseconds(20));
  EXPECT_EQ(handler_.writable, calls);
  EXPECT_EQ(pool_.lent_blocks(), 0u);
}

TEST_F(SlowOutputTest, NoticesAPeerThatClosesBeforeAllIsSent) {
  EXPECT_TRUE(output_.Send(std::string(200'000, 'd')));
  EXPECT_GT(output_.pending_bytes(), 0u);
  pair_.peer.Close();
  handler_.on_peer_closed = [this] { socket_.PauseReading(); };
  handler_.on_writable = [this] {
    is_connected_ = output_.OnWritable();
    if (!is_connected_) socket_.Close();
  };
  EXPECT_TRUE(RunUntil(loop_, [this] { return !is_connected_; }));
}

TEST_F(SlowOutputTest, GivesBackItsBudgetWhenItIsDestroyed) {
  const size_t before = budget_.used_bytes();
  {
    Output other(socket_, pool_);
    EXPECT_TRUE(other.Send(std::string(200'000, 'd')));
    EXPECT_GT(budget_.used_bytes(), before);
  }
  EXPECT_EQ(budget_.used_bytes(), before);
}

TEST_F(SlowOutputTest, KeepsTheOrderOfBytesUnderRandomWrites) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    Random random(seed);
    std::string sent;
    std::string received;
    char next = 'a';
    const auto piece = [&](uint64_t most) {
      std::string text(random.Below(most), next);
      next = next == 'z' ? 'a' : static_cast<char>(next + 1);
      sent += text;
      return text;
    };
    for (int step = 0; step < 300; ++step) {
      switch (random.Below(6)) {
        case 0:
          output_.Stage(piece(9000));
          break;
        case 1: {
          const std::string text = piece(30'000);
          std::memcpy(output_.Reserve(text.size()), text.data(), text.size());
          output_.Commit(text.size());
          break;
        }
        case 2: {
          const std::string data = piece(random.Below(2) == 0 ? 100 : 50'000);
          const std::string tail = piece(10);
          ASSERT_TRUE(output_.Send(data, tail));
          break;
        }
        case 3:
          ASSERT_TRUE(output_.Flush());
          break;
        default:
          received += ReadAvailable(pair_.peer.get(), random.Below(80'000));
          if (output_.pending_bytes() > 0) {
            ASSERT_TRUE(output_.OnWritable());
          }
      }
    }
    ASSERT_TRUE(output_.Flush());
    while (output_.pending_bytes() > 0) {
      const std::string more = ReadAvailable(pair_.peer.get());
      ASSERT_FALSE(more.empty());
      received += more;
      ASSERT_TRUE(output_.OnWritable());
    }
    received += ReadAvailable(pair_.peer.get());
    ASSERT_TRUE(received == sent);  // without printing megabytes
    EXPECT_EQ(pool_.lent_blocks(), 0u);
  }
}

}  // namespace
}  // namespace outrigger::net
