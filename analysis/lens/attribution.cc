// SPDX-License-Identifier: MIT
#include "vitrine/analysis/attribution.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/common/model_output.h"
#include "analysis/common/options.h"
#include "analysis/patching/metric.h"
#include "analysis/patching/over_pairs.h"
#include "vitrine/gradients.h"

namespace vitrine {
using namespace internal;
namespace {

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i)
    sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

double total(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

/// What is explained.
PatchMetric metric_of(const LogitAttribution& of) {
  using Kind = PatchMetric::Kind;
  return {.kind = of.against.empty() ? Kind::kLogit : Kind::kLogitDifference,
          .answer = of.target,
          .wrong = of.against};
}

/// Of the text up to the position alone: what follows has no effect.
std::vector<int32_t> read_part(const LogitAttribution& of) {
  return {of.ids.begin(), of.ids.begin() + of.position + 1};
}

LogitAttribution described(const Model& model, std::span<const int32_t> ids,
                           const AttributionOptions& options) {
  const Config& config = model.config();
  if (ids.empty()) user_error("the text is empty: expected at least one token");
  if (options.neurons < 0)
    user_error("invalid number of neurons {}: expected 0 (none) or more", options.neurons);
  LogitAttribution result;
  result.ids.assign(ids.begin(), ids.end());
  result.position =
      resolve_indices<int64_t>({options.position}, 0, static_cast<int64_t>(ids.size()), "position",
                               "positions of the text")[0];
  result.layers = config.layers;
  result.heads = config.heads;
  result.against = options.against;
  for (const int32_t id : options.target) check_id(config, id, "target");
  for (const int32_t id : options.against) check_id(config, id, "token to compare with");
  result.target = options.target.empty()
                      ? AnswerTokens(next_token(model, read_part(result), options.edits))
                      : options.target;
  for (const int32_t id : result.target) {
    if (result.against.contains(id))
      user_error("the target and the subtracted token are both {}: expected different tokens", id);
  }
  return result;
}

/// One forward pass with the components at the position, and d logit / d residual there.
Backward run_text(const Model& model, const LogitAttribution& of, bool neurons,
                  const Hooks& edits) {
  const Where here{.positions = {of.position}};
  const Where last{.layers = {of.layers - 1}, .positions = {of.position}};
  Hooks hooks = edits.only_edits();
  for (const Site site :
       {Site::kEmbed, Site::kPosEmbed, Site::kResult, Site::kAttnOut, Site::kMlpOut})
    hooks.capture(site, here);
  if (neurons) hooks.capture(Site::kMlpPost, here);
  hooks.capture(Site::kResidPost, last).gradient(Site::kResidPost, last);
  return backward(model, {read_part(of)}, {metric_of(of).target()}, hooks,
                  {.linearised = {.scales = true}});
}

/// What the final layernorm's bias gives: the logit where the residual stream is 0, which
/// normalises to 0.
double bias_part(const Model& model, const LogitAttribution& of, const Hooks& edits) {
  std::vector<int32_t> ids = read_part(of);
  if (edits.edits().empty()) ids.resize(1);  // the same at each position
  const Run run = model.forward(
      ids, edits.only_edits().edit(Site::kResidPost, zero(), {.layers = {of.layers - 1}}),
      {.logits = LogitRows::kLast});
  return metric_of(of).of(run.logits().f32());
}

void add_layer(LogitAttribution& to, const Run& run, int layer, std::span<const float> direction) {
  const TensorView results = run.view(Site::kResult, layer).slice(0);
  double heads = 0;
  for (int head = 0; head < to.heads; ++head) {
    to.head.push_back(dot(results.slice(head).f32(), direction));
    heads += to.head.back();
  }
  to.attention_bias.push_back(dot(run.view(Site::kAttnOut, layer).f32(), direction) - heads);
  to.mlp.push_back(dot(run.view(Site::kMlpOut, layer).f32(), direction));
}

/// [L][M] what each neuron writes along the direction when it is 1. That is a property of the
/// weights; a text of one token for each layer, in one batch, asks for it.
std::vector<std::vector<float>> neuron_directions(const Model& model, const LogitAttribution& of,
                                                  TensorView direction) {
  Batch batch;
  std::vector<Target> targets;
  Hooks hooks;
  for (int layer = 0; layer < of.layers; ++layer) {
    batch.push_back({of.ids.front()});
    targets.push_back(target::linear(site_name(Site::kMlpOut, layer), direction));
    hooks.gradient(Site::kMlpPost, {.layers = {layer}, .sequences = {layer}});
  }
  const Backward found = backward(model, batch, targets, hooks);
  std::vector<std::vector<float>> result;
  for (int layer = 0; layer < of.layers; ++layer)
    result.push_back(found.gradient(Site::kMlpPost, layer, layer).to_f32());
  return result;
}

void add_neurons(LogitAttribution& to, const Model& model, const Run& run, TensorView direction,
                 int count) {
  const std::vector<std::vector<float>> directions = neuron_directions(model, to, direction);
  for (int layer = 0; layer < to.layers; ++layer) {
    const std::span<const float> active = run.view(Site::kMlpPost, layer).f32();
    const std::vector<float>& written = directions[static_cast<size_t>(layer)];
    to.mlp_bias.push_back(to.mlp[static_cast<size_t>(layer)] - dot(active, written));
    for (size_t n = 0; n < active.size(); ++n) {
      const auto activation = static_cast<double>(active[n]);
      to.neurons.push_back({layer, static_cast<int64_t>(n), activation,
                            activation * static_cast<double>(written[n])});
    }
  }
  const auto kept = to.neurons.begin() + std::min<std::ptrdiff_t>(count, std::ssize(to.neurons));
  std::partial_sort(to.neurons.begin(), kept, to.neurons.end(), [](const auto& a, const auto& b) {
    return std::abs(a.contribution) > std::abs(b.contribution);
  });
  to.neurons.erase(kept, to.neurons.end());
}

}  // namespace

double LogitAttribution::sum() const {
  return embedding + position_embedding + total(head) + total(attention_bias) + total(mlp) +
         final_bias + edits;
}

LogitAttribution logit_attribution(const Model& model, std::span<const int32_t> ids,
                                   const AttributionOptions& options) {
  LogitAttribution result = described(model, ids, options);
  const Backward text = run_text(model, result, options.neurons > 0, options.edits);
  const TensorView gradient = text.gradient(Site::kResidPost, result.layers - 1).slice(0);
  result.logit = text.values[0];
  const Batch read = {read_part(result)};
  require_finite(text.run.captures(), model, read, options.edits, "the attribution");
  require_finite(*text.gradients, model, read, options.edits, "the gradient of the attribution");
  result.embedding = dot(text.run.view(Site::kEmbed).f32(), gradient.f32());
  result.position_embedding = dot(text.run.view(Site::kPosEmbed).f32(), gradient.f32());
  for (int layer = 0; layer < result.layers; ++layer)
    add_layer(result, text.run, layer, gradient.f32());
  if (!options.edits.edits().empty()) {
    result.edits = dot(text.run.view(Site::kResidPost, result.layers - 1).f32(), gradient.f32()) -
                   result.sum();
  }
  result.final_bias = bias_part(model, result, options.edits);
  if (options.neurons > 0) add_neurons(result, model, text.run, gradient, options.neurons);
  return result;
}

AttributedPairs attribute_pairs(const Model& model, std::span<const PatchPair> pairs,
                                const AttributionOptions& options) {
  if (!options.target.empty() || !options.against.empty() || options.neurons != 0)
    user_error("`target`, `against` and `neurons` are of one text: leave them out with pairs");
  EachPair each(pairs, options.progress);
  const auto kind =
      have_wrong_answers(pairs) ? PatchMetric::Kind::kLogitDifference : PatchMetric::Kind::kLogit;
  const bool both = !pairs[0].corrupt.empty();
  std::vector<PatchMetric> metrics;
  each.check([&](size_t i) {
    const PatchPair& pair = pairs[i];
    if (pair.corrupt.empty() == both)
      user_error("corrupt prompt {}: expected one in all pairs or in none",
                 both ? "missing" : "given, but not in the first pair");
    if (both)
      prompt_pair(pair.clean, pair.corrupt, options.position, PatchDirection::kDenoise, false);
    metrics.push_back(pair_metric(model, pair, kind, options.position, options.edits));
  });
  PairStatistics<LogitAttribution> clean, difference;
  each.run([&](size_t i, Progress*) {
    AttributionOptions own = options;
    own.target = metrics[i].answer;
    own.against = metrics[i].wrong;
    LogitAttribution found = logit_attribution(model, pairs[i].clean, own);
    clean.add(found);
    if (!both) return;
    LogitAttribution corrupt = logit_attribution(model, pairs[i].corrupt, own);
    const auto to = numbers_of(found), less = numbers_of(corrupt);
    for (size_t list = 0; list < to.size(); ++list)
      for (size_t n = 0; n < to[list].size(); ++n) to[list][n] -= less[list][n];
    difference.add(std::move(found));
  });
  AttributedPairs result{.clean = clean.result(), .difference = {}};
  if (both) result.difference = difference.result();
  return result;
}

}  // namespace vitrine
