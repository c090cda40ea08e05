#include "proxy/metrics/label_interner.h"

#include <algorithm>

#include "absl/strings/string_view.h"

namespace outrigger::metrics {
namespace {

bool IsPlain(char c) { return c >= 0x20 && c < 0x7f; }

// `value` itself when it is fit to be shown, otherwise a cleaned copy in `storage`.
std::string_view Clean(std::string_view value, std::string& storage) {
  value = value.substr(0, LabelInterner::kMaxValueBytes);
  if (std::ranges::all_of(value, IsPlain)) return value;
  storage = value;
  std::ranges::replace_if(
      storage, [](char c) { return !IsPlain(c); }, '_');
  return storage;
}

absl::string_view Key(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

LabelId LabelInterner::Intern(std::string_view value) {
  std::string storage;
  return InternClean(Clean(value, storage));
}

LabelId LabelInterner::InternClean(std::string_view clean) {
  std::lock_guard lock(mutex_);
  if (auto found = ids_.find(Key(clean)); found != ids_.end()) return found->second;
  if (texts_.size() >= max_values_) {
    is_full_.store(true, std::memory_order_release);
    return LabelId::kOther;
  }
  texts_.emplace_back(clean);
  const auto id = static_cast<LabelId>(texts_.size());
  ids_.emplace(std::string(clean), id);
  if (texts_.size() >= max_values_) is_full_.store(true, std::memory_order_release);
  return id;
}

std::string_view LabelInterner::Text(LabelId id) const {
  if (id == LabelId::kOther) return kOtherText;
  std::lock_guard lock(mutex_);
  return texts_.at(static_cast<size_t>(id) - 1);
}

size_t LabelInterner::size() const {
  std::lock_guard lock(mutex_);
  return texts_.size();
}

LabelInterner::Map LabelInterner::Copy() const {
  std::lock_guard lock(mutex_);
  return ids_;
}

LabelId LabelCache::Intern(std::string_view value) {
  std::string storage;
  const std::string_view clean = Clean(value, storage);
  if (auto found = ids_.find(Key(clean)); found != ids_.end()) return found->second;
  if (is_complete_) return LabelId::kOther;
  if (interner_.is_full()) {
    // The table will not change again: with a copy of it, a flood of new values costs no lock.
    ids_ = interner_.Copy();
    is_complete_ = true;
    auto found = ids_.find(Key(clean));
    return found == ids_.end() ? LabelId::kOther : found->second;
  }
  const LabelId id = interner_.InternClean(clean);
  if (id != LabelId::kOther) ids_.emplace(std::string(clean), id);
  return id;
}

}  // namespace outrigger::metrics
