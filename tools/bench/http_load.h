// Requests over keep-alive connections, in a closed or an open loop.
//
//   HttpLoad load(options);
//   load.Warm();                       // connections open, answers seen, nothing in flight
//   HttpLoadResult result = load.RunClosed();
//
// Closed loop: each connection sends its next request when the answer to the last one is there; for
// throughput and CPU per request. Open loop: requests are due at a fixed rate whatever the answers
// do, and latency counts from the moment a request was due, so that a stall shows in every request
// it delays (no coordinated omission).

#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tools/bench/histogram.h"
#include "tools/bench/message_reader.h"
#include "tools/bench/net.h"
#include "tools/bench/request.h"
#include "tools/bench/tls.h"

namespace outrigger::bench {

struct HttpLoadOptions {
  sockaddr_in target{};
  bool has_tls = false;
  RequestOptions request;
  uint64_t connections = 32;
  uint64_t max_in_flight = 0;  // 0: one request on each connection
  uint64_t warm_requests = 0;  // before the measured part
  // The measured part ends at whichever comes first; 0 means no such end.
  uint64_t requests = 0;
  int64_t duration_ns = 0;
  double rate = 0;                       // requests per second of the open loop
  int64_t patience_ns = 10'000'000'000;  // without any answer for so long: give up
};

struct HttpLoadResult {
  uint64_t completed = 0;  // answers read to their end, whatever their status
  uint64_t non_2xx = 0;
  uint64_t errors = 0;  // no whole answer: refused, cut off, not HTTP, never came
  uint64_t reconnects = 0;
  uint64_t body_bytes = 0;
  uint64_t late_sends = 0;  // open loop: sent more than 1 ms after they were due
  int64_t elapsed_ns = 0;
  Histogram latency;  // ns
};

class HttpLoad {
 public:
  explicit HttpLoad(const HttpLoadOptions& options);

  // Opens the connections and sends the warm requests. Dies when the target refuses connections.
  void Warm();
  HttpLoadResult RunClosed();
  HttpLoadResult RunOpen();
  // Serves the kept connections until a stop signal; returns how many the peer closed meanwhile.
  uint64_t Idle();

  std::string_view last_key() const { return request_.LastKey(); }

 private:
  struct Connection {
    Socket socket;
    std::unique_ptr<TlsStream> tls;
    MessageReader reader{MessageReader::Kind::kResponse};
    std::string unsent;
    bool is_busy = false;
    int64_t due_ns = 0;  // of the request under way
  };

  HttpLoadResult Loop(uint64_t requests, int64_t duration_ns);
  bool Open(Connection& connection);
  static ssize_t SendTo(Connection& connection, std::string_view data);
  void Reopen(Connection& connection);
  void Send(Connection& connection, int64_t due_ns);
  void Flush(Connection& connection);
  void OnReadable(Connection& connection, HttpLoadResult& result);
  void Finish(Connection& connection, HttpLoadResult& result);
  void Fail(Connection& connection, HttpLoadResult& result);
  void PollOnce(int64_t timeout_ns, HttpLoadResult& result);
  void GiveUp(HttpLoadResult& result);
  uint64_t busy() const { return connections_.size() - idle_.size(); }

  const HttpLoadOptions options_;
  RequestTemplate request_;
  Epoll epoll_;
  std::vector<char> buffer_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::deque<Connection*> idle_;
  int64_t last_answer_ns_ = 0;
};

}  // namespace outrigger::bench
