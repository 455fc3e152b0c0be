// SPDX-License-Identifier: MIT
#include "hooks/generation_edits.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace vitrine::internal {
namespace {

bool is_limited(const Hooks::Change& change) { return change.where.tokens != Where::Tokens::kAll; }

void add_for_each_sequence(Hooks& hooks, const Hooks::Change& change,
                           std::span<const std::vector<int32_t>> prompts) {
  const Where& where = change.where;
  const auto batch = std::ssize(prompts);
  if (!where.positions.empty()) {
    user_error("the edit of '{}' names positions and tokens: expected one of them",
               change.sites.pattern());
  }
  if (!where.sequences.fit(batch)) {
    user_error("sequences {} of the edit of '{}' are out of range of the batch of {}",
               where.sequences.text(), change.sites.pattern(), batch);
  }
  for (int s = 0; s < batch; ++s) {
    if (!where.sequences.empty() && !where.sequences.contain(s, batch)) continue;
    const int64_t length = std::ssize(prompts[static_cast<size_t>(s)]);
    Where here = where;
    here.tokens = Where::Tokens::kAll;
    if (batch > 1) here.sequences = {s};  // of one prompt there may be several beams
    if (where.tokens == Where::Tokens::kPrompt)
      here.positions.add_range(0, length - 1);
    else
      here.positions.add_range(length, -1);
    hooks.edit(change.sites, change.edit, std::move(here));
  }
}

}  // namespace

bool limits_tokens(const Hooks& hooks) { return std::ranges::any_of(hooks.edits(), is_limited); }

Hooks at_positions(const Hooks& hooks, std::span<const std::vector<int32_t>> prompts) {
  if (!limits_tokens(hooks)) return hooks;
  Hooks changed = hooks.without_edits();
  for (const Hooks::Change& change : hooks.edits()) {
    if (is_limited(change))
      add_for_each_sequence(changed, change, prompts);
    else
      changed.edit(change.sites, change.edit, change.where);
  }
  return changed;
}

}  // namespace vitrine::internal
