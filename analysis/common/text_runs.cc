// SPDX-License-Identifier: MIT
#include "analysis/common/text_runs.h"

#include <algorithm>
#include <iterator>

#include "analysis/common/batch_budget.h"
#include "analysis/common/model_output.h"
#include "base/check.h"

namespace vitrine::internal {
namespace {

bool one_at_a_time(const Hooks& hooks) {
  return std::any_of(hooks.edits().begin(), hooks.edits().end(), [](const Hooks::Change& change) {
    return change.edit.kind() == Edit::Kind::kSource || change.edit.kind() == Edit::Kind::kCallback;
  });
}

/// The texts from `first` on that fit together.
Batch next_batch(const Batch& texts, size_t first, int64_t limit) {
  BatchBudget budget(limit);
  auto end = texts.begin() + static_cast<std::ptrdiff_t>(first);
  while (end != texts.end() && budget.takes(std::ssize(*end))) ++end;
  return {texts.begin() + static_cast<std::ptrdiff_t>(first), end};
}

/// Captures, and gradients under names of their own.
Captures with_gradients(const Backward& backward) {
  std::vector<Captures::Entry> entries = backward.run.captures().entries();
  for (Captures::Entry entry : backward.gradients->entries()) {
    entry.name.insert(0, kGradientPrefix);
    entries.push_back(std::move(entry));
  }
  return Captures(std::move(entries),
                  {std::make_shared<const Captures>(backward.run.captures()), backward.gradients});
}

/// Of one pass over the batch, in one direction or in both.
void with_captures(const Model& model, const Batch& batch, const HookPlan& plan,
                   const Target* target, const std::function<void(const Captures&)>& use) {
  if (target) return use(with_gradients(backward(model, batch, {*target}, plan)));
  const Run run = model.forward(batch, plan, {.logits = LogitRows::kNone});
  use(run.captures());
}

}  // namespace

void check_texts(const Config& config, const Batch& texts) {
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto tokens = static_cast<int64_t>(texts[i].size());
    if (tokens == 0) user_error("prompt {} is empty: expected at least one token", i);
    if (tokens > config.context)
      user_error("prompt {} has {} tokens: expected at most {}, the model's context; shorten it", i,
                 tokens, config.context);
    for (const int32_t id : texts[i]) {
      if (id < 0 || id >= config.vocab)
        user_error("token id {} of prompt {} is out of range: expected 0..{}", id, i,
                   config.vocab - 1);
    }
  }
}

void check_captures(const Hooks& hooks, std::string_view texts) {
  if (hooks.captures().empty())
    user_error("missing site to capture: expected a name such as blocks.*.hook_resid_post");
  const auto check = [&](const Where& where, const std::string& pattern) {
    if (!where.sequences.empty())
      user_error("invalid selection of sequences for '{}': not supported for {}", pattern, texts);
  };
  for (const auto& request : hooks.captures()) check(request.where, request.sites.pattern());
  for (const auto& change : hooks.edits()) check(change.where, change.sites.pattern());
}

std::vector<SiteRef> captured_sites(const Hooks& hooks, const Config& config) {
  std::vector<SiteRef> sites;
  for (const Hooks::Capture& request : hooks.captures()) {
    std::vector<SiteRef> found = find_sites(request.sites, config, request.where);
    std::move(found.begin(), found.end(), std::back_inserter(sites));
  }
  return sites;
}

bool run_texts(const Model& model, const Batch& texts, const HookPlan& plan, int64_t batch_tokens,
               std::string_view analysis, bool finite,
               const std::function<void(const TextBatch&)>& see,
               const std::function<bool()>& keep_going, const Target* target) {
  const int64_t limit = one_at_a_time(plan.hooks()) ? 0 : batch_tokens;
  uint64_t done = 0, total = 0;
  for (const auto& text : texts) total += text.size();
  for (size_t first = 0; first < texts.size();) {
    if (keep_going && !keep_going()) return false;
    const Batch batch = next_batch(texts, first, limit);
    for (const auto& text : batch) done += text.size();
    with_captures(model, batch, plan, target, [&](const Captures& captures) {
      const size_t last = first + batch.size() - 1;
      if (finite)
        require_finite(captures, model, batch, plan.hooks(),
                       first == last ? fmt::format("{} of prompt {}", analysis, first)
                                     : fmt::format("{} of prompts {}..{}", analysis, first, last));
      see({captures, first, done, total});
    });
    first += batch.size();
  }
  return true;
}

std::vector<std::string> row_sites(const Config& config, const std::string& pattern,
                                   const Where& where) {
  if (!where.sequences.empty())
    user_error("invalid selection of sequences for '{}': not supported for several texts", pattern);
  std::vector<std::string> names;
  for (const SiteRef& site : find_sites(pattern, config, where)) {
    if (site_info(site.site).shape == SiteShape::kMap) {
      user_error(
          "invalid site '{}', which is a map: expected a site with one row per token, such as "
          "blocks.*.hook_resid_post",
          site.name);
    }
    names.push_back(site.name);
  }
  return names;
}

SiteRows rows_of(const Captures& captures, const std::string& site, size_t sequence) {
  const Captures::Entry::Sequence& found = captures.entry(site).sequences[sequence];
  const std::span<const float> values = found.values.f32();
  const size_t rows = found.positions.size();
  return {values, rows, rows == 0 ? 0 : values.size() / rows};
}

}  // namespace vitrine::internal
