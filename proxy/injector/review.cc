#include "proxy/injector/review.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "fmt/format.h"
#include "proxy/injector/json_patch.h"

namespace outrigger::injector {
namespace {

constexpr std::string_view kApiVersion = "admission.k8s.io/v1";
constexpr std::string_view kKind = "AdmissionReview";
constexpr const char* kStatus = "outrigger/status";
// A pod is about ten levels deep; a schema in a container's environment would be text.
constexpr int kMaxDepth = 64;
// Of a pod of 1.5 MiB, which is what etcd takes. Bounds what a small body may become in memory.
constexpr size_t kMaxValues = 200'000;
constexpr size_t kMaxShownBytes = 64;

absl::Status Malformed(std::string_view what) {
  return absl::InvalidArgumentError(absl::string_view(what.data(), what.size()));
}

std::string Shown(const Json& value) {
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > kMaxShownBytes) text = text.substr(0, kMaxShownBytes) + "...";
  return text;
}

const Json& At(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto found = object.find(key);
  return found == object.end() ? kNull : *found;
}

std::string Text(const Json& value) { return value.is_string() ? value.get<std::string>() : ""; }

absl::StatusOr<Json> Parse(std::string_view body) {
  size_t values = 0;
  bool is_too_deep = false;
  const auto count = [&](int depth, Json::parse_event_t event, Json&) {
    is_too_deep |= depth > kMaxDepth;
    using Event = Json::parse_event_t;
    const bool is_one =
        event == Event::value || event == Event::object_start || event == Event::array_start;
    if (is_one) ++values;
    return depth <= kMaxDepth && values <= kMaxValues;
  };
  Json json = Json::parse(body, count, /*allow_exceptions=*/false);
  if (is_too_deep) return Malformed("the review is nested too deeply");
  if (values > kMaxValues) return Malformed("the review has too many values");
  if (json.is_discarded()) return Malformed("the review is not JSON");
  return json;
}

// What has to hold before the pod is looked at.
absl::Status Check(const Json& review) {
  if (!review.is_object()) return Malformed("the review is not an object");
  if (At(review, "kind") != kKind) {
    return Malformed(fmt::format("kind is {}, not {}", Shown(At(review, "kind")), kKind));
  }
  if (At(review, "apiVersion") != kApiVersion) {
    return Malformed(
        fmt::format("apiVersion is {}, not {}", Shown(At(review, "apiVersion")), kApiVersion));
  }
  const Json& request = At(review, "request");
  if (!request.is_object()) return Malformed("request is missing");
  if (Text(At(request, "uid")).empty()) return Malformed("request.uid is missing");
  if (Text(At(request, "operation")).empty()) return Malformed("request.operation is missing");
  const Json& resource = At(request, "resource");
  if (At(resource, "resource") != "pods" || At(resource, "version") != "v1" ||
      !Text(At(resource, "group")).empty()) {
    return Malformed(fmt::format("request.resource is {}, not pods of v1", Shown(resource)));
  }
  return absl::OkStatus();
}

std::string NameOf(const Json& request) {
  const Json& metadata = At(At(request, "object"), "metadata");
  std::string name = Text(At(request, "name"));
  if (name.empty()) name = Text(At(metadata, "name"));
  if (name.empty()) name = Text(At(metadata, "generateName"));
  return fmt::format("{}/{}", Text(At(request, "namespace")), name);
}

// Changes the pod as the verdict says.
absl::Status Change(const inject::Options& options, Json& pod, ReviewAnswer& answer) {
  try {
    // Made before references are taken: a new member moves the others.
    if (!pod.contains("metadata")) pod["metadata"] = Json::object();
    inject::Outcome outcome = InjectPod(options, pod.at("metadata"), pod.at("spec"));
    answer.reason = std::move(outcome.reason);
    if (outcome.is_injected) {
      answer.verdict = Verdict::kInjected;
    } else if (outcome.is_impossible) {
      answer.verdict = Verdict::kImpossible;
      pod["metadata"]["annotations"][kStatus] = "not injected: " + answer.reason;
    }
  } catch (const Json::exception& error) {  // a list where a map should be, and the like
    return Malformed(fmt::format("request.object is not a pod: {}", error.what()));
  }
  return absl::OkStatus();
}

}  // namespace

std::string_view VerdictName(Verdict verdict) {
  switch (verdict) {
    case Verdict::kInjected:
      return "injected";
    case Verdict::kLeftAlone:
      return "left_alone";
    case Verdict::kImpossible:
      break;
  }
  return "impossible";
}

absl::StatusOr<ReviewAnswer> AnswerReview(const inject::Options& options, std::string_view body) {
  absl::StatusOr<Json> review = Parse(body);
  if (!review.ok()) return review.status();
  const absl::Status checked = Check(*review);
  if (!checked.ok()) return checked;
  const Json& request = At(*review, "request");

  ReviewAnswer answer;
  answer.pod = NameOf(request);
  Json response = {{"uid", request["uid"]}, {"allowed", true}};
  const Json& pod = At(request, "object");
  if (At(request, "operation") != "CREATE" || !Text(At(request, "subResource")).empty()) {
    answer.reason = "it is not being created";
  } else if (!pod.is_object() || !At(pod, "spec").is_object()) {
    return Malformed("request.object is not a pod");
  } else {
    Json changed = pod;
    const absl::Status done = Change(options, changed, answer);
    if (!done.ok()) return done;
    const Json patch = MakePatch(pod, changed);
    if (!patch.empty()) {
      response["patchType"] = "JSONPatch";
      response["patch"] = absl::Base64Escape(patch.dump());
    }
  }
  answer.body = Json({{"apiVersion", kApiVersion}, {"kind", kKind}, {"response", response}}).dump();
  return answer;
}

}  // namespace outrigger::injector
