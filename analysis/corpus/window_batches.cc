// SPDX-License-Identifier: MIT
#include "analysis/corpus/window_batches.h"

#include <algorithm>
#include <map>
#include <utility>

#include "analysis/common/batch_budget.h"
#include "analysis/common/model_output.h"
#include "analysis/common/text_runs.h"
#include "base/check.h"

namespace vitrine::internal {
namespace {

/// Whether every window has all of these positions.
bool all_have(const std::vector<Window>& windows, const std::vector<int64_t>& positions) {
  return std::all_of(positions.begin(), positions.end(), [&](int64_t position) {
    return std::all_of(windows.begin(), windows.end(), [&](const Window& window) {
      const auto tokens = static_cast<int64_t>(window.ids.size());
      return position >= -tokens && position < tokens;
    });
  });
}

}  // namespace

int64_t WindowSite::width() const {
  int64_t elements = 1;
  for (const int64_t size : row) elements *= size;
  return elements;
}

WindowBatches::WindowBatches(const Model& model, const Hooks& hooks, int64_t batch_tokens,
                             Residence residence)
    : model_(model), hooks_(hooks), batch_tokens_(batch_tokens), residence_(residence) {
  check_captures(hooks, "a corpus");
  check_edits_reach(hooks, model.config(), captured_sites(hooks, model.config()), "the capture");
  std::map<std::string, const Where*> narrowed;
  for (const Hooks::Capture& request : hooks.captures()) {
    for (const SiteRef& site : find_sites(request.pattern, model.config(), request.where)) {
      if (site_info(site.site).shape == SiteShape::kMap) {
        user_error(
            "invalid site '{}' for a corpus: maps have a different size in every window; use "
            "vitrine capture for maps of prompts",
            site.name);
      }
      narrowed[site.name] = &request.where;
    }
  }
  // One token through the model shows whether the hooks fit, and the shapes.
  Window one;
  one.ids = {0};
  Hooks probe;
  const Hooks fitting = hooks_for({one});
  for (const Hooks::Capture& request : fitting.captures())
    probe.capture(request.pattern, request.where, request.store);
  for (const Hooks::Change& change : hooks.edits()) {
    if (change.where.positions.empty()) probe.edit(change.pattern, change.edit, change.where);
  }
  const Run run = model.forward(one.ids, probe, {.logits = LogitRows::kNone});
  for (const Captures::Entry& entry : run.captures().entries()) {
    const auto sizes = entry.sequences.front().values.shape().sizes();
    const Where& where = *narrowed.at(entry.name);
    sites_.push_back({.site = entry.site,
                      .name = entry.name,
                      .dtype = entry.dtype,
                      .heads = entry.heads,
                      .neurons = where.neurons,
                      .positions = where.positions,
                      .row = {sizes.begin() + 1, sizes.end()}});
  }
}

/// A narrowing to positions that some window lacks is left to kept_rows().
Hooks WindowBatches::hooks_for(const std::vector<Window>& windows) const {
  Hooks hooks = hooks_.only_edits();
  for (const Hooks::Capture& request : hooks_.captures()) {
    Where where = request.where;
    if (!all_have(windows, where.positions)) where.positions.clear();
    hooks.capture(request.pattern, std::move(where), request.store);
  }
  return hooks;
}

WindowBatch WindowBatches::next(WindowReader& windows, int64_t most) {
  WindowBatch batch;
  BatchBudget budget(batch_tokens_);
  while (std::ssize(batch.windows) < most) {
    if (!holds_ && !windows.next(held_)) break;
    holds_ = true;
    if (!budget.takes(std::ssize(held_.ids))) break;
    batch.windows.push_back(std::move(held_));
    batch.digests.push_back(windows.digest());  // no later window has been read
    holds_ = false;
  }
  if (batch.windows.empty()) return batch;
  Batch ids;
  for (const Window& window : batch.windows) ids.push_back(window.ids);
  batch.run = model_.forward(ids, hooks_for(batch.windows),
                             {.logits = LogitRows::kNone, .residence = residence_});
  return batch;
}

std::vector<size_t> WindowBatches::kept_rows(const WindowSite& site,
                                             const Captures::Entry::Sequence& rows,
                                             const Window& window) {
  const auto tokens = static_cast<int64_t>(window.ids.size());
  const auto wanted = [&](int64_t position) {
    if (position < window.repeated) return false;
    const auto& asked = site.positions;
    return asked.empty() || std::any_of(asked.begin(), asked.end(), [&](int64_t p) {
             return (p < 0 ? p + tokens : p) == position;
           });
  };
  std::vector<size_t> kept;
  for (size_t row = 0; row < rows.positions.size(); ++row) {
    if (wanted(rows.positions[row])) kept.push_back(row);
  }
  return kept;
}

uint64_t estimated_tokens(const DocumentReader& documents, uint64_t tokens) {
  const uint64_t read = documents.bytes_read(), total = documents.total_bytes();
  if (read == 0 || total == 0) return 0;
  return static_cast<uint64_t>(static_cast<double>(tokens) * static_cast<double>(total) /
                               static_cast<double>(read));
}

}  // namespace vitrine::internal
