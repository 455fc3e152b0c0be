// SPDX-License-Identifier: MIT
#include "analysis/patching/sweep.h"

#include <algorithm>

#include "analysis/common/options.h"

namespace vitrine::internal {
namespace {

bool has_heads(const SiteInfo& info, const Config& config) {
  return info.shape == SiteShape::kMap || site_head_width(info.shape, config) > 0;
}

std::vector<int64_t> head_columns(const PatchCells& cells, const SiteInfo& info,
                                  const Config& config) {
  if (!has_heads(info, config))
    user_error(
        "site '{}' has no heads to sweep: use a site such as attn.hook_z, or sweep positions",
        info.name);
  const std::vector<int> heads =
      resolve_indices<int>(cells.heads, 0, config.heads, "head", "heads of the model");
  return {heads.begin(), heads.end()};
}

std::vector<int64_t> neuron_columns(const PatchCells& cells, const SiteInfo& info,
                                    const Config& config) {
  if (has_heads(info, config))
    user_error("site '{}' has heads and no neurons: sweep heads", info.name);
  return resolve_indices<int64_t>(cells.neurons, 0, site_width(info.shape, config), "neuron",
                                  "elements of the site's row");
}

std::vector<int64_t> columns_of(const PatchCells& cells, const SiteInfo& info, const Config& config,
                                const std::vector<int64_t>& positions) {
  switch (cells.over) {
    case PatchOver::kPositions:
      return positions;
    case PatchOver::kHeads:
      return head_columns(cells, info, config);
    case PatchOver::kNeurons:
      return neuron_columns(cells, info, config);
    case PatchOver::kWhole:
      break;
  }
  return {0};
}

}  // namespace

PatchSweep::PatchSweep(const PatchCells& cells, const Config& config, int64_t tokens)
    : config_(config), window_(cells.window) {
  if (cells.sites.empty())
    user_error("missing site to patch: expected at least one, such as hook_resid_pre");
  if (window_ < 1) user_error("window of {} layers is out of range: expected at least 1", window_);
  if (!cells.heads.empty() && cells.over != PatchOver::kHeads)
    user_error("`heads` selects nothing, because the cells are not over heads: leave it out");
  if (!cells.neurons.empty() && cells.over != PatchOver::kNeurons)
    user_error("`neurons` selects nothing, because the cells are not over neurons: leave it out");
  const std::vector<int> layers =
      resolve_indices<int>(cells.layers, 0, config.layers, "layer", "layers of the model");
  positions_ = resolve_indices<int64_t>(cells.positions, 0, tokens, "position",
                                        "positions up to where the metric is read");
  for (const Site site : cells.sites) {
    const SiteInfo& info = site_info(site);
    if (!info.per_layer)
      user_error(
          "cannot sweep site '{}', which has no layers: expected a per-layer site, such as "
          "hook_resid_pre",
          info.name);
    const auto same = [site](const PatchGrid& grid) { return grid.site == site; };
    if (std::any_of(grids_.begin(), grids_.end(), same))
      user_error("duplicate site '{}': expected each site once", info.name);
    grids_.push_back({.site = site,
                      .over = cells.over,
                      .layers = layers,
                      .columns = columns_of(cells, info, config, positions_),
                      .values = {},
                      .effects = {},
                      .estimates = {}});
  }
}

uint64_t PatchSweep::cells() const {
  uint64_t count = 0;
  for (const PatchGrid& grid : grids_) count += grid.layers.size() * grid.columns.size();
  return count;
}

std::vector<Place> PatchSweep::places(const PatchGrid& grid, size_t row, size_t column) const {
  Place place{grid.site, 0, positions_};
  const int64_t at = grid.columns[column];
  if (grid.over == PatchOver::kPositions) place.positions = {at};
  if (grid.over == PatchOver::kHeads) place.heads = {static_cast<int>(at)};
  if (grid.over == PatchOver::kNeurons) place.neurons = {at};
  std::vector<Place> places;
  const int first = grid.layers[row] - (window_ - 1) / 2;
  for (int layer = std::max(first, 0); layer < std::min(first + window_, config_.layers); ++layer) {
    place.layer = layer;
    places.push_back(place);
  }
  return places;
}

std::vector<std::vector<double>> PatchSweep::run(BaseRun& base, const PatchValues& values,
                                                 CellProgress& progress) const {
  std::vector<std::vector<double>> results;
  for (const PatchGrid& grid : grids_) {
    std::vector<double>& result = results.emplace_back();
    for (size_t row = 0; row < grid.layers.size();
         ++row) {  // one at a time: a row's cells start at one block
      std::vector<Intervention> cells;
      for (size_t column = 0; column < grid.columns.size(); ++column)
        cells.push_back(base.intervene(places(grid, row, column), values));
      const std::vector<double> found = base.run(cells);
      result.insert(result.end(), found.begin(), found.end());
      progress.add(cells.size());
    }
  }
  return results;
}

std::vector<std::vector<double>> PatchSweep::estimate(const BaseRun& base,
                                                      const PatchValues& values,
                                                      const Captures& gradients) const {
  std::vector<std::vector<double>> results;
  for (const PatchGrid& grid : grids_) {
    std::vector<double>& result = results.emplace_back();
    for (size_t row = 0; row < grid.layers.size(); ++row) {
      for (size_t column = 0; column < grid.columns.size(); ++column)
        result.push_back(base.estimate(places(grid, row, column), values, gradients));
    }
  }
  return results;
}

}  // namespace vitrine::internal
