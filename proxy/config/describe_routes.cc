// The keys of routes.

#include "proxy/config/compound_types.h"
#include "proxy/config/description.h"
#include "proxy/config/scalar_types.h"
#include "proxy/config/section.h"

namespace outrigger::config {
namespace {

Type<RouteMatch> DescribeMatch() {
  using S = RouteMatch;
  return Section<S>("match")
      .Key("path", &S::path, Optional(PathType()), "Exactly this path")
      .Key("prefix", &S::prefix, Optional(PathType()),
           "This path and those below: `/v1` claims `/v1` and `/v1/x`, not `/v1x`")
      .Key("template", &S::path_template, Optional(PathTemplateType()),
           "`*` or `{name}` stands for one segment: `/v2/models/*/infer`")
      .Key("methods", &S::methods, List(MethodType(), {.max = 32, .unique = true}),
           "One of these methods; `[]` is any")
      .Key("headers", &S::headers, Map("header", HeaderNameType(), HeaderValueType()),
           "All of these headers with these values; `\"*\"` is any value. Of a header in several "
           "lines one must fit, as a whole")
      .Key("content_type", &S::content_type, List(MediaTypeType(), {.max = 32, .unique = true}),
           "One of these media types, for example `[application/json, text/*]`; `[]` is any")
      .Later("model", "The model named in the body")
      .Later("stream", "Whether the body asks for a stream")
      .Done();
}

// A route states differences to the chain's settings, which have their own place in the reference.
class Overrides final : public ValueType<FilterSettings> {
 public:
  void Parse(const Node& node, const std::string& path, Diagnostics& diagnostics,
             FilterSettings& value) const override {
    filters_->Parse(node, path, diagnostics, value);
  }
  Json Dump(const FilterSettings& value) const override { return filters_->Dump(value); }
  Json Schema(Json& definitions) const override { return filters_->Schema(definitions); }
  std::string Text() const override { return filters_->Text(); }

 private:
  Type<FilterSettings> filters_ = DescribeFilters();
};

}  // namespace

Type<RouteConfig> DescribeRoute() {
  using S = RouteConfig;
  return Section<S>("route")
      .KeepsLocation(&S::where)
      .Key("name", &S::name, NameType(), "Shown in metrics and logs", "route-1, route-2, ...")
      .Key("match", &S::match, DescribeMatch(),
           "Which requests the route claims; all that is stated must hold, nothing stated claims "
           "every request")
      .Key("upstream", &S::upstream, Optional(NameType()), "Where its requests go",
           "the listener's")
      .Key("preset", &S::preset,
           OneWordOf<Preset>({{"none", Preset::kNone},
                              {"openai", Preset::kOpenai},
                              {"anthropic", Preset::kAnthropic},
                              {"embeddings", Preset::kEmbeddings},
                              {"kserve", Preset::kKserve}}),
           "The kind of service, from which effects and time limits follow")
      .Key("effects", &S::effects,
           Or("auto", OneWordOf<Effects>({{"none", Effects::kNone},
                                          {"keyed", Effects::kKeyed},
                                          {"unsafe", Effects::kUnsafe}})),
           "What executing a request twice does: `none` but cost, nothing as the app dedupes by "
           "the forwarded key (`keyed`), or harm (`unsafe`). `auto` is by preset, then by method: "
           "POST and PATCH are unsafe")
      .Key("503_means", &S::means_503,
           OneWordOf<MeaningOf503>(
               {{"maybe", MeaningOf503::kMaybe}, {"not_executed", MeaningOf503::kNotExecuted}}),
           "Whether an unsafe request that got 503 without `Retry-After` may have been executed")
      .Key("filters", &S::filters, std::make_shared<Overrides>(),
           "Differences to the settings of the chain, with the same keys as in `filters`",
           "as in the chain")
      .Later("fallback", "Other upstreams when this one fails")
      .Later("on_unavailable", "Stale or default answers when the upstream fails")
      .Later("errors", "The format of error bodies")
      .Later("mirror", "A copy of the requests to another upstream")
      .Done();
}

}  // namespace outrigger::config
