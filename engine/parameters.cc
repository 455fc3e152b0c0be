// SPDX-License-Identifier: MIT
#include "engine/parameters.h"

#include <fmt/format.h>

namespace vitrine {
namespace internal {

std::array<Parameter, kBlockParameters> block_parameters(const Config& config) {
  const int64_t d = config.width, m = config.inner;
  using enum ParameterKind;
  std::array<Parameter, kBlockParameters> all = {{{"ln_1.weight", {d}, kScale},
                                                  {"ln_1.bias", {d}, kBias},
                                                  {"attn.c_attn.weight", {d, 3 * d}, kMatrix},
                                                  {"attn.c_attn.bias", {3 * d}, kBias},
                                                  {"attn.c_proj.weight", {d, d}, kMatrix},
                                                  {"attn.c_proj.bias", {d}, kBias},
                                                  {"ln_2.weight", {d}, kScale},
                                                  {"ln_2.bias", {d}, kBias},
                                                  {"mlp.c_fc.weight", {d, m}, kMatrix},
                                                  {"mlp.c_fc.bias", {m}, kBias},
                                                  {"mlp.c_proj.weight", {m, d}, kMatrix},
                                                  {"mlp.c_proj.bias", {d}, kBias}}};
  for (int i = 0; i < kBlockParameters; ++i) all[static_cast<size_t>(i)].index = i;
  return all;
}

void for_each_parameter(const Config& config, const std::function<void(const Parameter&)>& see) {
  const int64_t d = config.width;
  see({kTokenEmbedding, {config.vocab, d}, ParameterKind::kTable, -1, 0});
  see({kPositionEmbedding, {config.context, d}, ParameterKind::kTable, -1, 1});
  const auto block = block_parameters(config);
  for (int layer = 0; layer < config.layers; ++layer) {
    for (Parameter parameter : block) {
      parameter.name = fmt::format("h.{}.{}", layer, parameter.name);
      parameter.layer = layer;
      see(parameter);
    }
  }
  see({"ln_f.weight", {d}, ParameterKind::kScale, -1, 2});
  see({"ln_f.bias", {d}, ParameterKind::kBias, -1, 3});
  if (!config.tied_unembedding)
    see({kUnembedding, {config.vocab, d}, ParameterKind::kTable, -1, 4});
  if (config.unembedding_bias) see({kUnembeddingBias, {config.vocab}, ParameterKind::kBias, -1, 5});
}

}  // namespace internal

int64_t Config::whole_context() const {
  int64_t tokens = context;
  for (const int64_t window : windows) tokens = window > 0 ? std::min(tokens, window) : tokens;
  return tokens;
}

int64_t Config::parameters() const {
  int64_t count = 0;
  internal::for_each_parameter(
      *this, [&](const internal::Parameter& parameter) { count += parameter.shape.elements(); });
  return count;
}

}  // namespace vitrine
