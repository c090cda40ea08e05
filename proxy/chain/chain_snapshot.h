// One worker's view of one configuration: its routes, each with its own chain of filters.
//
// A stream pins the snapshot that it began with (a shared pointer), so that a reload never changes
// a running request; the snapshot owns the filters. State that must outlive a reload (keys,
// buckets, breakers, budgets) is not here but in SharedState. One worker.

#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "filters/common/outcome.h"
#include "proxy/chain/filter.h"
#include "proxy/chain/route_table.h"
#include "proxy/config/config.h"
#include "proxy/event/deadline_queue.h"
#include "proxy/metrics/standard_metrics.h"

namespace outrigger::chain {

struct RouteChain {
  std::string name;
  const config::RouteConfig* config = nullptr;
  FilterList filters;
  metrics::RouteMetrics* metrics = nullptr;
  DeadlineQueue* overall_timeouts = nullptr;
  DeadlineQueue* max_stream_timeouts = nullptr;
  DeadlineQueue* tunnel_idle_timeouts = nullptr;
  bool trusts_sdk_timeout = false;
};

struct ChainSnapshot {
  explicit ChainSnapshot(std::shared_ptr<const config::Config> shared_config)
      : config(std::move(shared_config)),
        configured(config->routes),
        presets(config->preset_routes) {
    unmatched_route.name = "unmatched";
    unmatched_route.filters = config->filters.settings;
  }

  // The chain that takes the request; null: nobody does (404).
  const RouteChain* Find(const http::Request& request, size_t listener) const;

  const std::shared_ptr<const config::Config> config;
  const RouteTable configured;
  const RouteTable presets;
  // What no route claims: the chain's own settings, effects by method.
  config::RouteConfig unmatched_route;
  // For each listener: chains of `routes`, of the presets, and of what no route claims.
  struct ListenerChains {
    std::vector<RouteChain> routes;
    std::vector<RouteChain> presets;
    RouteChain unmatched;
    bool forwards_unmatched = true;
  };
  std::vector<ListenerChains> listeners;
};

// The same snapshot, destroyed at the end of the turn in which its last holder went: that may be a
// stream that ends in the middle of what the snapshot owns, a timer of an upstream for example.
std::shared_ptr<const ChainSnapshot> ReleasedByLoop(Loop& loop,
                                                    std::shared_ptr<const ChainSnapshot> snapshot);

}  // namespace outrigger::chain
