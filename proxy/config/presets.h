// The built-in presets: what is known about the requests of common AI services (semantics B0.2).

#pragma once

#include <string_view>

#include "proxy/config/route_config.h"

namespace outrigger::config {

// A request to a well-known path belongs to a preset also without any configuration.
struct PresetPath {
  std::string_view name;
  std::string_view path_template;
  Preset preset;
};
inline constexpr PresetPath kPresetPaths[] = {
    {"openai-chat", "/v1/chat/completions", Preset::kOpenai},
    {"openai-completions", "/v1/completions", Preset::kOpenai},
    {"openai-responses", "/v1/responses", Preset::kOpenai},
    {"anthropic-messages", "/v1/messages", Preset::kAnthropic},
    {"embeddings", "/v1/embeddings", Preset::kEmbeddings},
    {"rerank", "/v1/rerank", Preset::kEmbeddings},
    {"kserve-infer", "/v2/models/*/infer", Preset::kKserve},
    {"kserve-grpc-infer", "/inference.GRPCInferenceService/ModelInfer", Preset::kKserve},
};

// Replaces the defaults in which the preset's requests differ (TO-3).
void ApplyPreset(Preset preset, FilterSettings& settings);

// The effects of the preset's requests on a path in normal form. REQUIRES: preset != kNone.
Effects PresetEffects(Preset preset, std::string_view normal_path);

}  // namespace outrigger::config
