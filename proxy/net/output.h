// The write side of a connection: collects a head and the first bytes of its body into one send,
// writes first, and keeps what the kernel does not take.
//
//   char* at = output.Reserve(bytes);            // format into the stage
//   output.Commit(written);
//   output.Write(body);
//   output.Flush();                               // at the end of the turn: one send
//   if (output.pending_bytes() > 0) -> wait for OnWritable() before writing more
//
// Small pieces are copied into the stage, a pooled block, which leaves when the owner's turn ends:
// sends that follow one another wake a peer once, while sends between other work wake it each time,
// which costs more than all that this process does for a small request. Large pieces are sent from
// where they are and only the unsent rest is copied, into a backlog charged to the memory budget.
// The owner calls OnWritable() from the socket's event. One worker.

#pragma once

#include <string>
#include <string_view>

#include "proxy/base/memory_budget.h"
#include "proxy/net/buffer_pool.h"
#include "proxy/net/socket.h"

namespace outrigger::net {

class Output {
 public:
  Output(Socket& socket, BufferPool& pool)
      : socket_(socket), pool_(pool), backlog_lease_(&pool.budget()) {}

  // `bytes` of room in the stage. REQUIRES: bytes <= BufferPool::kLargeBytes.
  char* Reserve(size_t bytes);
  void Commit(size_t bytes) { staged_ += bytes; }
  // Copies `data` behind what is staged; nothing is sent yet.
  void Stage(std::string_view data);
  // `data` and `tail` behind what is staged: small ones wait for Flush(), large ones take the stage
  // along at once. False when the connection is broken.
  bool Write(std::string_view data, std::string_view tail = {});
  // Sends what is staged and then `data` and `tail`. False when the connection is broken.
  bool Send(std::string_view data, std::string_view tail = {});
  bool Flush() { return staged_ == 0 || Send({}); }

  // Bytes that the kernel has not taken.
  size_t pending_bytes() const { return backlog_.size() - backlog_sent_; }
  size_t staged_bytes() const { return staged_; }
  // Continues after EAGAIN. False when the connection is broken.
  bool OnWritable();

 private:
  void Keep(std::string_view unsent);

  Socket& socket_;
  BufferPool& pool_;
  Block stage_;
  size_t staged_ = 0;
  std::string backlog_;
  size_t backlog_sent_ = 0;
  BudgetLease backlog_lease_;
};

}  // namespace outrigger::net
