// Several filters in a row, as one: for filters whose work shows only together with another.
//
//   ChainOf chain({&timeout_filter, &commit_gate, &scripted_next});
//   FilterRun run(loop, chain, scripted_next);
//
// The last one answers; what stands behind the chain is not called. Owns nothing.

#pragma once

#include <memory>
#include <vector>

#include "proxy/chain/filter.h"

namespace outrigger {

class ChainOf final : public chain::Filter {
 public:
  explicit ChainOf(const std::vector<chain::Filter*>& filters) {
    for (chain::Filter* filter : filters) filters_.push_back(std::make_unique<Borrowed>(*filter));
  }

  Task<http::Result> Call(http::Request& request, chain::Next) override {
    return chain::Next(filters_.data())(request);
  }

 private:
  class Borrowed final : public chain::Filter {
   public:
    explicit Borrowed(chain::Filter& filter) : filter_(filter) {}
    Task<http::Result> Call(http::Request& request, chain::Next next) override {
      return filter_.Call(request, next);
    }

   private:
    chain::Filter& filter_;
  };

  chain::FilterList filters_;
};

}  // namespace outrigger
