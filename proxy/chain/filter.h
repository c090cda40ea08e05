// A filter is a function around the next one: a request goes in, a result comes out.
//
//   Task<Result> CountingFilter::Call(Request& request, Next next) {
//     ++started_;
//     Result result = co_await next(request);
//     ++finished_;
//     co_return result;
//   }
//
// Call() returns when the response *head* is known; the body is pulled afterwards by the driver.
// What must last until the end of the body goes into response.Hold(). A filter may call `next` any
// number of times, one after the other, and must drop a result before it calls again. Being
// destroyed at a co_await is the only form of cancellation.
//
// A filter belongs to one worker and outlives the requests that began with its chain. What must be
// exact for the pod is shared state that it holds a reference to (architecture 6).

#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "proxy/coro/task.h"
#include "proxy/http/request.h"
#include "proxy/http/response.h"

namespace outrigger::chain {

using http::Failure;
using http::Request;
using http::Response;
using http::Result;

class Next;

class Filter {
 public:
  virtual ~Filter() = default;
  virtual Task<Result> Call(Request& request, Next next) = 0;
};

// The filters of one route, outermost first; the last one is the router and calls nobody.
using FilterList = std::vector<std::unique_ptr<Filter>>;

// The rest of the chain, as a value.
class Next {
 public:
  explicit Next(const std::unique_ptr<Filter>* filter) : filter_(filter) {}

  Task<Result> operator()(Request& request) const {
    return (*filter_)->Call(request, Next(filter_ + 1));
  }

 private:
  const std::unique_ptr<Filter>* filter_;
};

}  // namespace outrigger::chain
