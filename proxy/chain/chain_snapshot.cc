#include "proxy/chain/chain_snapshot.h"

namespace outrigger::chain {

const RouteChain* ChainSnapshot::Find(const http::Request& request, size_t listener) const {
  const ListenerChains& chains = listeners[listener];
  if (std::optional<size_t> index = configured.Match(request)) return &chains.routes[*index];
  if (std::optional<size_t> index = presets.Match(request)) return &chains.presets[*index];
  return chains.forwards_unmatched ? &chains.unmatched : nullptr;
}

}  // namespace outrigger::chain
