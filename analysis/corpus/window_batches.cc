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
bool all_have(const std::vector<Window>& windows, const Indices<int64_t>& positions) {
  return std::all_of(windows.begin(), windows.end(),
                     [&](const Window& window) { return positions.fit(std::ssize(window.ids)); });
}

}  // namespace

int64_t WindowSite::width() const {
  int64_t elements = 1;
  for (const int64_t size : row) elements *= size;
  return elements;
}

bool WindowSite::has_row(int64_t position, const Window& window) const {
  return position >= window.repeated &&
         (positions.empty() || positions.contain(position, std::ssize(window.ids)));
}

std::vector<std::string> WindowSite::variable_names() const {
  std::vector<std::string> names;
  const auto column = [&](int64_t i) {
    return neurons.empty() ? i : neurons[static_cast<size_t>(i)];
  };
  const int64_t columns = row.back();
  if (row.size() == 1) {
    for (int64_t i = 0; i < columns; ++i) names.push_back(std::to_string(column(i)));
    return names;
  }
  for (const int head : heads) {
    for (int64_t i = 0; i < columns; ++i) names.push_back(fmt::format("{}.{}", head, column(i)));
  }
  return names;
}

WindowBatches::WindowBatches(const Model& model, const Hooks& hooks, int64_t batch_tokens,
                             Residence residence)
    : model_(model), hooks_(hooks), batch_tokens_(batch_tokens), residence_(residence) {
  check_captures(hooks, "a corpus");
  check_edits_reach(hooks, model.config(), captured_sites(hooks, model.config()), "the capture");
  std::map<std::string, Indices<int64_t>> positions;
  for (const Hooks::Capture& request : hooks.captures()) {
    for (const SiteRef& site : find_sites(request.sites, model.config(), request.where)) {
      if (site_info(site.site).shape == SiteShape::kMap) {
        user_error(
            "invalid site '{}' for a corpus: maps have a different size in every window; use "
            "vitrine capture for maps of prompts",
            site.name);
      }
      positions[site.name] = request.where.positions;
    }
  }
  const std::vector<int64_t> one_token = {1};
  for (const CaptureSpec& spec :
       plan_at(std::vector<bool>(hooks.captures().size(), true)).describe(one_token)) {
    const auto sizes = spec.shapes.front().sizes();
    sites_.push_back({.site = spec.site,
                      .name = spec.name,
                      .dtype = spec.dtype,
                      .heads = spec.heads,
                      .neurons = spec.neurons,
                      .positions = positions.at(spec.name),
                      .row = {sizes.begin() + 1, sizes.end()}});
  }
}

void WindowBatches::store_int8() {
  for (WindowSite& site : sites_) {
    if (site.dtype != DType::kF32)
      user_error("'{}' is captured as {}, which int8 would round again: expected f32", site.name,
                 dtype_name(site.dtype));
    site.int8 = true;
  }
}

const HookPlan& WindowBatches::plan_at(std::vector<bool> everywhere) {
  if (plan_ && everywhere == everywhere_) return *plan_;
  Hooks hooks = hooks_.only_edits();
  for (size_t i = 0; i < everywhere.size(); ++i) {
    const Hooks::Capture& request = hooks_.captures()[i];
    Where where = request.where;
    if (everywhere[i]) where.positions.clear();
    hooks.capture(request.sites, std::move(where), request.store);
  }
  plan_ = model_.compile(hooks);
  everywhere_ = std::move(everywhere);
  return *plan_;
}

const HookPlan& WindowBatches::plan_for(const std::vector<Window>& windows) {
  std::vector<bool> everywhere;
  for (const Hooks::Capture& request : hooks_.captures()) {
    const Indices<int64_t>& positions = request.where.positions;
    everywhere.push_back(positions.empty() || !all_have(windows, positions));
  }
  return plan_at(std::move(everywhere));
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
  if (!batch.windows.empty()) forward(batch);
  return batch;
}

void WindowBatches::forward(WindowBatch& batch) {
  Batch ids;
  for (const Window& window : batch.windows) ids.push_back(window.ids);
  batch.run = model_.forward(ids, plan_for(batch.windows),
                             {.logits = LogitRows::kNone, .residence = residence_});
}

std::vector<size_t> WindowBatches::kept_rows(const WindowSite& site,
                                             const Captures::Entry::Sequence& rows,
                                             const Window& window) {
  std::vector<size_t> kept;
  for (size_t row = 0; row < rows.positions.size(); ++row) {
    if (site.has_row(rows.positions[row], window)) kept.push_back(row);
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
