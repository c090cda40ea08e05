// PreStop hooks of the app, for a cluster whose Kubernetes has no hook that sleeps (K8-4): GET
// .../app-stop/6 is answered after six seconds, or when the proxy ends before that. Until then the
// kubelet does not tell the app to end, so that it outlives the lame duck.
//
//   AppStops stops(loop);
//   stops.Ask("6", request, make_complete);
//   stops.AnswerAll();                        // the proxy ends
//
// Anyone may ask, as the kubelet does, and nothing is changed by it. A bounded number waits at
// once, far below the connections of the admin port; a client that leaves gives its place back.
//
// Belongs to the loop's thread and never blocks it.

#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string_view>

#include "proxy/admin/endpoints.h"
#include "proxy/admin/loop.h"
#include "proxy/admin/request.h"

namespace outrigger::admin {

class AppStops final : public Answerer {
 public:
  static constexpr size_t kMaxWaiting = 16;
  static constexpr int kMaxSeconds = 3600;

  explicit AppStops(Loop& loop);
  ~AppStops() override;
  AppStops(const AppStops&) = delete;
  AppStops& operator=(const AppStops&) = delete;

  // `seconds`: digits. 400 when they are none or too many, 503 when too many wait.
  std::optional<Reply> Ask(std::string_view seconds, const Request& request,
                           const std::function<CompleteFunction()>& make_complete) override;
  void OnClientLeft(uint64_t client);
  void AnswerAll();

 private:
  class Hook;

  void Erase(const Hook& hook);

  Loop& loop_;
  std::list<std::unique_ptr<Hook>> hooks_;
};

}  // namespace outrigger::admin
