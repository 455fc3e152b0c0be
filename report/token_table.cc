// SPDX-License-Identifier: MIT
#include "report/token_table.h"

#include "report/packed.h"

namespace vitrine::internal {

int32_t TokenTable::place(int32_t id) {
  const auto [found, is_new] = places_.try_emplace(id, static_cast<int32_t>(ids_.size()));
  if (is_new) ids_.push_back(id);
  return found->second;
}

JsonValue TokenTable::places(std::span<const int32_t> ids) {
  std::vector<int32_t> found;
  found.reserve(ids.size());
  for (const int32_t id : ids) found.push_back(place(id));
  return packed(found);
}

JsonValue TokenTable::json() const {
  JsonValue texts = JsonValue::array();
  for (const int32_t id : ids_) texts.push_back(shown(id));
  return {{"ids", packed(ids_)}, {"texts", std::move(texts)}};
}

}  // namespace vitrine::internal
