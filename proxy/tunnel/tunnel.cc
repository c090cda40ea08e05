#include "proxy/tunnel/tunnel.h"

#include <utility>

namespace outrigger::tunnel {

using http::ChunkResult;

Tunnel::Tunnel(Loop& loop, Sides sides, DeadlineQueue& idle_timeouts, Observer& observer)
    : sides_(std::move(sides)),
      idle_timeouts_(idle_timeouts),
      observer_(observer),
      idle_([this] { Finish(End::kIdle); }),
      ended_(loop) {}

Tunnel::~Tunnel() {
  // Before the bodies that they read.
  up_.pump.Reset();
  down_.pump.Reset();
}

Task<Tunnel::End> Tunnel::Run() {
  idle_timeouts_.Arm(idle_);
  up_.pump = PumpUp();
  down_.pump = PumpDown();
  up_.pump.Start();
  down_.pump.Start();
  while (!end_.has_value()) co_await ended_.Wait();
  idle_.Unlink();
  co_return *end_;
}

void Tunnel::Note(Direction& direction, std::string_view data) {
  if (data.empty()) return;
  observer_.OnTunnelBytes(&direction == &up_, data.size());
  if (sides_.is_websocket) direction.frames.Feed(data);
  if (!end_.has_value()) idle_timeouts_.Arm(idle_);
}

void Tunnel::EndOf(Direction& direction) {
  direction.has_ended = true;
  if (up_.has_ended && down_.has_ended) Finish(End::kComplete);
}

void Tunnel::Finish(End end) {
  if (end_.has_value()) return;
  end_ = end;
  ended_.Notify();
}

Task<void> Tunnel::PumpUp() {
  for (;;) {
    ChunkResult chunk = co_await sides_.from_client->Read();
    if (!chunk.ok()) {
      Finish(End::kClientGone);
      co_return;
    }
    Note(up_, chunk->data);
    if (!sides_.service.SendData(chunk->data)) {
      // The service has closed. What it sent before may still be on its way down, and how that ends
      // decides; when it has ended there is nobody left to talk to.
      up_.has_ended = true;
      if (down_.has_ended) Finish(End::kComplete);
      co_return;
    }
    if (chunk->is_last) break;
    while (sides_.service.pending_bytes() > 0) co_await sides_.service.drained().Wait();
  }
  sides_.service.Finish(nullptr);
  EndOf(up_);
}

Task<void> Tunnel::PumpDown() {
  for (;;) {
    std::optional<ChunkResult> ready = sides_.from_service.TryRead();
    if (!ready.has_value()) {
      ChunkResult read = co_await sides_.from_service.Read();
      ready = std::move(read);
    }
    const ChunkResult& chunk = *ready;
    if (!chunk.ok()) {
      Finish(End::kServiceGone);
      co_return;
    }
    Note(down_, chunk->data);
    sides_.client.SendData(chunk->data, chunk->is_last);
    if (chunk->is_last) break;
    while (sides_.client.pending_bytes() > 0) co_await sides_.client.drained().Wait();
  }
  EndOf(down_);
}

bool Tunnel::SayGoodbye() {
  idle_.Unlink();
  up_.pump.Reset();
  down_.pump.Reset();
  if (!up_.has_ended && sides_.is_websocket && up_.frames.may_add_close()) {
    const CloseFrame frame = GoingAwayFromClient();
    if (sides_.service.SendData(frame.view())) sides_.service.Finish(nullptr);
  }
  if (down_.has_ended) return true;
  if (!sides_.is_websocket || !down_.frames.may_add_close()) return false;
  sides_.client.SendData(GoingAwayFromService().view(), /*is_last=*/true);
  return true;
}

}  // namespace outrigger::tunnel
