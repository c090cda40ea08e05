#include "proxy/chain/chain_snapshot.h"

#include <optional>

namespace outrigger::chain {
namespace {

class Released final : public Deletable {
 public:
  explicit Released(std::shared_ptr<const ChainSnapshot> snapshot)
      : snapshot_(std::move(snapshot)) {}

 private:
  const std::shared_ptr<const ChainSnapshot> snapshot_;
};

}  // namespace

const RouteChain* ChainSnapshot::Find(const http::Request& request, size_t listener) const {
  const ListenerChains& chains = listeners[listener];
  if (std::optional<size_t> index = configured.Match(request)) return &chains.routes[*index];
  if (std::optional<size_t> index = presets.Match(request)) return &chains.presets[*index];
  return chains.forwards_unmatched ? &chains.unmatched : nullptr;
}

std::shared_ptr<const ChainSnapshot> ReleasedByLoop(Loop& loop,
                                                    std::shared_ptr<const ChainSnapshot> snapshot) {
  const ChainSnapshot* const shown = snapshot.get();
  auto release = [&loop, owner = std::move(snapshot)](const ChainSnapshot*) mutable {
    loop.DeferDelete(std::make_unique<Released>(std::move(owner)));
  };
  return {shown, std::move(release)};
}

}  // namespace outrigger::chain
