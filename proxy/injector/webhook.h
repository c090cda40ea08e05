// What each path of the injector does, without sockets.
//
//   POST /mutate      AdmissionReview in, AdmissionReview out; 400 with the reason when it is none
//   GET  /livez       200 as long as it answers
//   GET  /readyz      200 when the API server can be expected to trust the certificate
//   GET  /metrics
//
// HEAD is allowed where GET is. One thread.

#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "proxy/http/method.h"
#include "proxy/inject/pod.h"
#include "proxy/injector/injector_metrics.h"
#include "proxy/injector/review.h"
#include "proxy/log/logger.h"

namespace outrigger::injector {

struct Question {
  http::Method method = http::Method::kOther;
  std::string_view target;  // with the query, which is not looked at
  std::string_view content_type;
  std::string_view body;
};

struct Reply {
  int status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string body;
  std::string_view allow;  // 405: the methods that would do
};

class Webhook {
 public:
  struct Parts {
    inject::Options inject;
    log::Logger& log;
    InjectorMetrics& metrics;
    // Empty: ready. Otherwise why not.
    std::function<std::string()> problem;
  };

  explicit Webhook(Parts parts) : parts_(std::move(parts)) {}

  Reply Answer(const Question& question);

 private:
  Reply Mutate(const Question& question);
  Reply Ready();

  const Parts parts_;
};

}  // namespace outrigger::injector
