// SPDX-License-Identifier: MIT
#include "cli/lens/lens_data.h"

#include <cmath>

#include "base/check.h"
#include "cli/core/arrays.h"

namespace vitrine::cli {
using namespace internal;
namespace {

JsonValue looked_up(int64_t rank, double log_prob) {
  return {{"rank", rank}, {"probability", std::exp(log_prob)}, {"log_probability", log_prob}};
}

JsonValue cell_json(const Lens& lens, const Names& names, size_t row, size_t p) {
  const size_t cell = lens.cell(row, p), k = static_cast<size_t>(lens.top_k),
               watched = lens.watch.size();
  JsonValue json = {{"layer", lens.layers[row]},
                    {"position", lens.positions[p]},
                    {"entropy", lens.entropies[cell]}};
  if (!lens.kl.empty()) json["kl"] = lens.kl[cell];
  json["target"] = looked_up(lens.target_ranks[cell], lens.target_log_probs[cell]);
  json["top"] = JsonValue::array();
  for (size_t i = cell * k; i < (cell + 1) * k; ++i) {
    JsonValue token = names.json(lens.top_ids[i]);
    token["probability"] = std::exp(lens.top_log_probs[i]);
    token["log_probability"] = lens.top_log_probs[i];
    json["top"].push_back(std::move(token));
  }
  json["watch"] = JsonValue::array();
  for (size_t i = cell * watched; i < (cell + 1) * watched; ++i)
    json["watch"].push_back(looked_up(lens.watch_ranks[i], lens.watch_log_probs[i]));
  return json;
}

}  // namespace

JsonValue lens_json(const Lens& lens, const Names& names) {
  JsonValue json = {{"mode", lens_mode_name(lens.mode)},
                    {"of", lens_source_name(lens.of)},
                    {"layers", lens.layers}};
  json["watch"] = names.json(lens.watch);
  for (size_t p = 0; p < lens.positions.size(); ++p) {
    json["positions"].push_back(
        {{"position", lens.positions[p]},
         {"token", names.json(lens.ids[static_cast<size_t>(lens.positions[p])])},
         {"target", names.json(lens.targets[p])}});
  }
  for (size_t row = 0; row < lens.rows(); ++row) {
    for (size_t p = 0; p < lens.positions.size(); ++p)
      json["cells"].push_back(cell_json(lens, names, row, p));
  }
  return json;
}

void save_lenses(const std::vector<Lens>& results, const std::string& path,
                 const std::map<std::string, std::string>& metadata) {
  Arrays tensors;
  for (size_t i = 0; i < results.size(); ++i) {
    const Lens& lens = results[i];
    const auto rows = static_cast<int64_t>(lens.rows()),
               positions = static_cast<int64_t>(lens.positions.size());
    const auto watched = static_cast<int64_t>(lens.watch.size());
    const auto add = [&](const char* name, Tensor tensor) {
      tensors.emplace_back(fmt::format("{}.{}", name, i), std::move(tensor));
    };
    add("ids", tensor_of(DType::kI32, lens.ids, {static_cast<int64_t>(lens.ids.size())}));
    add("layers", tensor_of(DType::kI32,
                            std::vector<int32_t>(lens.layers.begin(), lens.layers.end()), {rows}));
    add("positions", tensor_of(DType::kI64, lens.positions, {positions}));
    add("targets", tensor_of(DType::kI32, lens.targets, {positions}));
    add("target_ranks", tensor_of(DType::kI32, lens.target_ranks, {rows, positions}));
    add("target_log_probs", tensor_of(DType::kF64, lens.target_log_probs, {rows, positions}));
    add("entropies", tensor_of(DType::kF64, lens.entropies, {rows, positions}));
    add("top_ids", tensor_of(DType::kI32, lens.top_ids, {rows, positions, lens.top_k}));
    add("top_log_probs", tensor_of(DType::kF64, lens.top_log_probs, {rows, positions, lens.top_k}));
    if (!lens.kl.empty()) add("kl", tensor_of(DType::kF64, lens.kl, {rows, positions}));
    if (watched == 0) continue;
    add("watch", tensor_of(DType::kI32, lens.watch, {watched}));
    add("watch_ranks", tensor_of(DType::kI32, lens.watch_ranks, {rows, positions, watched}));
    add("watch_log_probs",
        tensor_of(DType::kF64, lens.watch_log_probs, {rows, positions, watched}));
  }
  write_arrays(path, tensors, metadata);
}

}  // namespace vitrine::cli
