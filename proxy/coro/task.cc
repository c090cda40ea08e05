#include "proxy/coro/task.h"

#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <exception>

namespace outrigger::coro_internal {

// Prints what was thrown and the coroutines that were waiting for the one that threw, then aborts.
// Uses stdio alone: the logger may be what failed.
void PromiseBase::unhandled_exception() noexcept {
  const char* what = "not a std::exception";
  std::exception_ptr current = std::current_exception();
  try {
    std::rethrow_exception(current);
  } catch (const std::exception& exception) {
    what = exception.what();
    std::fprintf(stderr, "fatal: exception in a coroutine: %s\n", what);
  } catch (...) {
    std::fprintf(stderr, "fatal: exception in a coroutine: %s\n", what);
  }
  for (PromiseBase* awaiting = parent; awaiting != nullptr; awaiting = awaiting->parent) {
    // A suspended frame begins with the address of its resume function.
    void* resume = *static_cast<void**>(awaiting->frame());
    Dl_info info{};
    const bool known = resume != nullptr && dladdr(resume, &info) != 0 && info.dli_sname != nullptr;
    std::fprintf(stderr, "  awaited by %s (%p)\n", known ? info.dli_sname : "?", resume);
  }
  std::abort();
}

}  // namespace outrigger::coro_internal
