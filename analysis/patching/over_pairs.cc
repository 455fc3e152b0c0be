// SPDX-License-Identifier: MIT
#include "analysis/patching/over_pairs.h"

#include <algorithm>

#include "analysis/common/model_output.h"
#include "analysis/patching/metric.h"

namespace vitrine {
using namespace internal;

std::vector<std::span<double>> internal::numbers_of(Patching& found) {
  std::vector<std::span<double>> all = {{&found.clean, 1}, {&found.corrupt, 1}};
  for (PatchGrid& grid : found.grids)
    all.insert(all.end(), {grid.values, grid.effects, grid.estimates});
  return all;
}

std::vector<std::span<double>> internal::numbers_of(PathPatching& found) {
  return {{&found.clean, 1}, {&found.corrupt, 1}, found.values, found.effects};
}

std::vector<std::span<double>> internal::numbers_of(LogitAttribution& found) {
  std::vector<std::span<double>> all = {found.head, found.attention_bias, found.mlp};
  for (double* value :
       {&found.embedding, &found.position_embedding, &found.final_bias, &found.edits, &found.logit})
    all.emplace_back(value, 1);
  return all;
}

internal::EachPair::EachPair(std::span<const PatchPair> pairs, Progress* progress)
    : pairs_(pairs), progress_(progress) {
  if (pairs.empty()) user_error("missing pairs of prompts: expected at least one");
}

PatchMetric internal::pair_metric(const Model& model, const PatchPair& pair, PatchMetric::Kind kind,
                                  int64_t position, const Hooks& edits) {
  const bool difference = kind == PatchMetric::Kind::kLogitDifference;
  if (difference && pair.wrong.empty())
    user_error("missing wrong answer: expected one, because the metric is {}",
               patch_metric_name(kind));
  if (!difference && !pair.wrong.empty())
    user_error("the metric {} does not use a wrong answer: leave it out, or use {}",
               patch_metric_name(kind), patch_metric_name(PatchMetric::Kind::kLogitDifference));
  PatchMetric metric{.kind = kind, .answer = pair.answer, .wrong = pair.wrong};
  if (metric.answer.empty())
    metric.answer = next_token(model, read_up_to(pair.clean, position, "clean prompt"), edits);
  check_metric(metric, model.config());
  return metric;
}

bool have_wrong_answers(std::span<const PatchPair> pairs) {
  return std::any_of(pairs.begin(), pairs.end(),
                     [](const PatchPair& pair) { return !pair.wrong.empty(); });
}

}  // namespace vitrine
