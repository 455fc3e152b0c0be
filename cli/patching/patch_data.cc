// SPDX-License-Identifier: MIT
#include "cli/patching/patch_data.h"

#include "cli/patching/patch_args.h"

namespace vitrine::cli {
using namespace internal;
namespace {

std::string_view over_name(PatchOver over) {
  switch (over) {
    case PatchOver::kPositions:
      return "positions";
    case PatchOver::kHeads:
      return "heads";
    case PatchOver::kNeurons:
      return "neurons";
    case PatchOver::kWhole:
      break;
  }
  return "whole";
}

/// [R][C]
JsonValue rows_json(const PatchGrid& grid, const std::vector<double>& values) {
  JsonValue rows = JsonValue::array();
  const auto columns = static_cast<std::ptrdiff_t>(grid.columns.size());
  for (auto row = values.begin(); row != values.end(); row += columns)
    rows.push_back(std::vector<double>(row, row + columns));
  return rows;
}

}  // namespace

JsonValue metric_json(const PatchMetric& metric, const Names& names) {
  JsonValue json = {{"name", patch_metric_name(metric.kind)},
                    {"answer", names.json(metric.answer)}};
  if (metric.kind == PatchMetric::Kind::kLogitDifference) json["wrong"] = names.json(metric.wrong);
  return json;
}

JsonValue grids_json(const std::vector<PatchGrid>& grids) {
  JsonValue result = JsonValue::array();
  for (const PatchGrid& grid : grids) {
    JsonValue json = {{"site", site_info(grid.site).name},
                      {"over", over_name(grid.over)},
                      {"layers", grid.layers},
                      {"columns", grid.columns}};
    if (!grid.values.empty())
      json.update(
          {{"values", rows_json(grid, grid.values)}, {"effects", rows_json(grid, grid.effects)}});
    if (!grid.estimates.empty()) json["estimates"] = rows_json(grid, grid.estimates);
    if (!grid.values.empty() && !grid.estimates.empty()) json["correlation"] = grid.correlation();
    result.push_back(std::move(json));
  }
  return result;
}

JsonValue work_json(const PatchWork& work) {
  return {
      {"cells", work.cells}, {"token_layers", work.computed}, {"naive_token_layers", work.naive}};
}

JsonValue paths_json(const PathPatching& found) {
  JsonValue senders = JsonValue::array();
  for (size_t i = 0; i < found.senders.size(); ++i)
    senders.push_back({{"sender", found.senders[i].name()},
                       {"value", found.values[i]},
                       {"effect", found.effects[i]}});
  return senders;
}

Arrays grid_arrays(const std::vector<PatchGrid>& grids) {
  Arrays arrays;
  for (const PatchGrid& grid : grids) {
    const std::string site = sweep_name(grid.site);
    const auto rows = static_cast<int64_t>(grid.layers.size()),
               columns = static_cast<int64_t>(grid.columns.size());
    arrays.emplace_back(
        site + ".layers",
        tensor_of(DType::kI64, std::vector<int64_t>(grid.layers.begin(), grid.layers.end()),
                  {rows}));
    arrays.emplace_back(site + ".columns", tensor_of(DType::kI64, grid.columns, {columns}));
    const auto add = [&](const char* name, const std::vector<double>& values) {
      if (!values.empty())
        arrays.emplace_back(site + name, tensor_of(DType::kF64, values, {rows, columns}));
    };
    add(".values", grid.values);
    add(".effects", grid.effects);
    add(".estimates", grid.estimates);
  }
  return arrays;
}

}  // namespace vitrine::cli
