// SPDX-License-Identifier: MIT
#include "analysis/patching/base_run.h"

#include <algorithm>
#include <cstring>

#include "analysis/common/batch_budget.h"
#include "analysis/patching/metric.h"
#include "base/check.h"

namespace vitrine::internal {
namespace {

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

Hooks base_hooks(const std::vector<Site>& sites, const Hooks& edits) {
  Hooks hooks = edits.only_edits();
  hooks.capture(Site::kResidPre);
  for (const Site site : sites) {
    if (site != Site::kResidPre) hooks.capture(site);
  }
  return hooks;
}

}  // namespace

BaseRun::BaseRun(const Model& model, std::vector<int32_t> ids, const std::vector<Site>& sites,
                 const PatchMetric& metric, int64_t batch_tokens, const Hooks& edits)
    : model_(model),
      ids_(std::move(ids)),
      metric_(metric),
      batch_tokens_(batch_tokens),
      edits_(edits.only_edits()),
      session_(model.session(1, tokens())) {
  if (batch_tokens < 1)
    user_error("batch_tokens {} is out of range: expected at least 1", batch_tokens);
  for (const Hooks::Change& change : edits_.edits()) {
    if (!change.where.sequences.empty())
      user_error("the edit of '{}' selects sequences, but holds in each prompt: leave them out",
                 change.sites.pattern());
  }
  const Run run = session_.forward({ids_}, base_hooks(sites, edits), kInPlace);
  captures_.emplace(model, run);
  value_ = finite_metric(metric_, model.to_host(run.logits()).f32(), model_, ids_, edits);
  work_.computed = work_.naive = tokens() * model.config().layers;
}

/// The edits that a pass resumed at this block makes. What enters the block is edited already.
Hooks BaseRun::edits_from(int layer) const {
  Hooks hooks;
  for (const Hooks::Change& change : edits_.edits()) {
    for (const SiteRef& at : find_sites(change.sites, model_.config(), change.where)) {
      const bool block = site_info(at.site).per_layer;
      if (block ? std::pair(at.layer, at.site) <= std::pair(layer, Site::kResidPre)
                : at.site <= Site::kPosEmbed)
        continue;
      Where where = change.where;
      where.layers = {};
      if (block) where.layers = {at.layer};
      hooks.edit(at.site, change.edit, where);
    }
  }
  return hooks;
}

TensorView BaseRun::residual_from(int layer, int64_t position) const {
  const int64_t width = model_.config().width;
  const TensorView rows = captures_->in_place->view(Site::kResidPre, layer);
  return {static_cast<const float*>(rows.data()) + position * width, DType::kF32,
          Shape{tokens() - position, width}, rows.residence()};
}

/// In the last block only keys and values, and what they are made of, are seen from other positions
/// than their own.
bool BaseRun::reaches_metric(Site site, int layer, int64_t position) const {
  const bool own_row_only = site == Site::kQ || site > Site::kV;
  return layer + 1 < model_.config().layers || position + 1 == tokens() || !own_row_only;
}

Intervention BaseRun::intervene(std::vector<Place> places, const PatchValues& values) const {
  std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return std::pair(a.layer, a.site) < std::pair(b.layer, b.site);
  });
  Intervention result{.layer = model_.config().layers, .position = tokens(), .changes = {}};
  for (const Place& place : places) {
    // From here on an earlier place's change may arrive: what is to stay as it is must be held
    // there.
    const int64_t reached = result.position;
    Where where{.heads = place.heads, .neurons = place.neurons};
    if (site_info(place.site).per_layer) where.layers = {place.layer};
    for (const int64_t position : place.positions) {
      if (!reaches_metric(place.site, place.layer, position)) continue;
      const auto own = captures_->on_host->row(place.site, place.layer, 0, position),
                 other = values->row(place.site, place.layer, 0, position);
      if (!own || !other) continue;
      const auto part = [&](const std::vector<float>& row) {
        return place.part_of(row, position, model_.config());
      };
      if (position < reached && same_bits(part(*own), part(*other))) continue;
      where.positions.add(position);
    }
    if (where.positions.empty()) continue;
    result.layer = std::min(result.layer, place.layer);
    result.position = std::min(result.position, where.positions.ranges().front().first);
    result.changes.push_back(
        {place.site, replace_from(std::make_shared<PartOfRows>(values, place, model_.config())),
         where});
  }
  return result;
}

double BaseRun::estimate(const std::vector<Place>& places, const PatchValues& values,
                         const Captures& gradients) const {
  double sum = 0;
  for (const Place& place : places) {
    for (const int64_t position : place.positions) {
      const auto own = captures_->on_host->row(place.site, place.layer, 0, position),
                 other = values->row(place.site, place.layer, 0, position);
      const auto gradient = gradients.row(place.site, place.layer, 0, position);
      if (!own || !other || !gradient) continue;
      const auto part = [&](const std::vector<float>& row) {
        return place.part_of(row, position, model_.config());
      };
      const std::vector<float> a = part(*own), b = part(*other), g = part(*gradient);
      for (size_t i = 0; i < g.size(); ++i)
        sum += (static_cast<double>(b[i]) - static_cast<double>(a[i])) * static_cast<double>(g[i]);
    }
  }
  return sum;
}

std::vector<double> BaseRun::run(const std::vector<Intervention>& cells, const RunExtras& extras) {
  std::vector<double> values(cells.size(), value_);
  work_.cells += static_cast<int64_t>(cells.size());
  work_.naive += static_cast<int64_t>(cells.size()) * tokens() * model_.config().layers;
  std::vector<size_t> order;
  for (size_t i = 0; i < cells.size(); ++i) {
    if (!cells[i].changes.empty()) order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return cells[a].layer < cells[b].layer; });
  // A batch starts at one block. Each of its sequences has a key/value cache of the whole length:
  // those count, too.
  const int64_t most_cells = std::max<int64_t>(1, 4 * batch_tokens_ / tokens());
  for (size_t begin = 0; begin < order.size();) {
    BatchBudget budget(batch_tokens_);
    size_t end = begin;
    while (end < order.size() && cells[order[end]].layer == cells[order[begin]].layer &&
           static_cast<int64_t>(end - begin) < most_cells &&
           budget.takes(tokens() - cells[order[end]].position))
      ++end;
    run_batch(cells, std::span(order).subspan(begin, end - begin), extras, values);
    begin = end;
  }
  return values;
}

void BaseRun::run_batch(const std::vector<Intervention>& cells, std::span<const size_t> batch,
                        const RunExtras& extras, std::vector<double>& values) {
  const int layer = cells[batch.front()].layer;
  Session fork = session_.fork(0, static_cast<int>(batch.size()));
  Hooks hooks = edits_from(layer);
  if (extras.hooks) extras.hooks(hooks, layer);
  std::vector<TensorView> residuals;
  for (size_t s = 0; s < batch.size(); ++s) {
    const Intervention& cell = cells[batch[s]];
    fork.truncate(static_cast<int>(s), cell.position);
    residuals.push_back(residual_from(layer, cell.position));
    for (const Hooks::Change& change : cell.changes) {
      Where where = change.where;
      where.sequences = {static_cast<int>(s)};
      hooks.edit(change.sites, change.edit, where);
    }
    work_.computed += (tokens() - cell.position) * (model_.config().layers - layer);
  }
  const Run run = fork.forward_from(layer, residuals, hooks, kInPlace);
  for (size_t s = 0; s < batch.size(); ++s)
    values[batch[s]] = metric_.of(model_.to_host(run.logits(static_cast<int>(s))).f32());
  if (!extras.see) return;
  const BothCaptures captures(model_, run);
  for (size_t s = 0; s < batch.size(); ++s) extras.see(batch[s], captures, static_cast<int>(s));
}

}  // namespace vitrine::internal
