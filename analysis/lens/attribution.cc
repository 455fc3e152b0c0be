// SPDX-License-Identifier: MIT
#include "vitrine/analysis/attribution.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/common/model_output.h"
#include "analysis/common/options.h"
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

Target target_of(const LogitAttribution& of) {
  return of.against ? target::logit_difference({of.target}, {*of.against})
                    : target::logit(of.target);
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
  if (options.target) check_id(config, *options.target, "target");
  if (options.against) check_id(config, *options.against, "token to compare with");
  // Of the text up to the position alone: what follows plays no part.
  const std::span<const int32_t> read = ids.first(static_cast<size_t>(result.position) + 1);
  result.target =
      options.target ? *options.target : next_token(model, {read.begin(), read.end()}, {});
  if (result.against == result.target)
    user_error("the target and the subtracted token are both {}: expected different tokens",
               result.target);
  return result;
}

/// One forward pass with the components at the position, and d logit / d residual there.
Backward run_text(const Model& model, const LogitAttribution& of, bool neurons) {
  const Where here{.positions = {of.position}};
  Hooks hooks;
  for (const Site site :
       {Site::kEmbed, Site::kPosEmbed, Site::kResult, Site::kAttnOut, Site::kMlpOut})
    hooks.capture(site, here);
  if (neurons) hooks.capture(Site::kMlpPost, here);
  hooks.gradient(Site::kResidPost, {.layers = {of.layers - 1}, .positions = {of.position}});
  const std::vector<int32_t> read(of.ids.begin(), of.ids.begin() + of.position + 1);
  return backward(model, {read}, {target_of(of)}, hooks, {.linearised = {.scales = true}});
}

/// What the final layernorm's bias gives: the logit where the residual stream is 0, which
/// normalises to 0.
double bias_part(const Model& model, const LogitAttribution& of) {
  const Run run =
      model.forward(std::span(of.ids).first(1),
                    Hooks().edit(Site::kResidPost, zero(), {.layers = {of.layers - 1}}));
  const std::span<const float> logits = run.logits().f32();
  const double against =
      of.against ? static_cast<double>(logits[static_cast<size_t>(*of.against)]) : 0.0;
  return static_cast<double>(logits[static_cast<size_t>(of.target)]) - against;
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
         final_bias;
}

LogitAttribution logit_attribution(const Model& model, std::span<const int32_t> ids,
                                   const AttributionOptions& options) {
  LogitAttribution result = described(model, ids, options);
  const Backward text = run_text(model, result, options.neurons > 0);
  const TensorView gradient = text.gradient(Site::kResidPost, result.layers - 1).slice(0);
  result.logit = text.values[0];
  const std::vector<int32_t> read(result.ids.begin(), result.ids.begin() + result.position + 1);
  require_finite(text.run.captures(), model, {read}, {}, "the attribution");
  require_finite(*text.gradients, model, {read}, {}, "the gradient of the attribution");
  result.embedding = dot(text.run.view(Site::kEmbed).f32(), gradient.f32());
  result.position_embedding = dot(text.run.view(Site::kPosEmbed).f32(), gradient.f32());
  for (int layer = 0; layer < result.layers; ++layer)
    add_layer(result, text.run, layer, gradient.f32());
  result.final_bias = bias_part(model, result);
  if (options.neurons > 0) add_neurons(result, model, text.run, gradient, options.neurons);
  return result;
}

}  // namespace vitrine
