#include "proxy/config/presets.h"

namespace outrigger::config {

void ApplyPreset(Preset preset, FilterSettings& settings) {
  switch (preset) {
    case Preset::kEmbeddings:
      // One forward pass: what takes longer is stuck.
      settings.timeout.overall = absl::Seconds(30);
      break;
    case Preset::kNone:
    case Preset::kOpenai:
    case Preset::kAnthropic:
    case Preset::kKserve:
      break;
  }
}

Effects PresetEffects(Preset preset, std::string_view normal_path) {
  // The Responses API stores each answer unless the body says `store: false`; a condition on the
  // body counts as false until the body is looked into (RU-5).
  if (preset == Preset::kOpenai && normal_path.ends_with("/responses")) return Effects::kUnsafe;
  return Effects::kNone;
}

}  // namespace outrigger::config
