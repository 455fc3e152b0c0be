#pragma once

#include <string_view>

#include "base/check.h"
#include "vitrine/config.h"
#include "vitrine/hooks.h"

namespace vitrine {

// What several analyses do with their options.

/// Throws Error (user) for an id outside the vocabulary.
inline void check_id(const Config& config, int32_t id, std::string_view what) {
  if (id < 0 || id >= config.vocab) user_error("the {} {} is outside the vocabulary 0..{}", what, id, config.vocab - 1);
}

/// The edits of a request, without what else it asks for.
inline Hooks edits_of(const Hooks& request) {
  Hooks hooks;
  for (const Hooks::Change& change : request.edits()) hooks.edit(change.pattern, change.edit, change.where);
  return hooks;
}

}  // namespace vitrine
