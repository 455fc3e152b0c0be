// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "vitrine/model.h"

namespace vitrine {

// Direct logit attribution: a logit, or a difference of two, as a sum over what wrote to the
// residual stream (Elhage et al. 2021, "A mathematical framework for transformer circuits"; Wang et
// al. 2022).
//
// The residual stream before the final layernorm is a sum of embeddings, heads, biases and MLPs.
// The layernorm divides by a scale that depends on all of them; taken for the constant that it is
// in this run, the logit is linear in each, and a component's contribution is its part of that sum
// times d logit / d residual.

struct AttributionOptions {
  std::optional<int32_t> target =
      {};  ///< the token whose logit is explained; nothing: the one that the model ranks first
  std::optional<int32_t> against = {};  ///< minus this token's logit
  int64_t position = -1;                ///< behind which token; negative from the end
  int neurons = 0;  ///< how many single MLP neurons to list, those with the largest contributions
                    ///< of either sign
};

/// Contributions in logits, from float32 activations, summed up in double precision.
struct LogitAttribution {
  std::vector<int32_t> ids;  ///< the text
  int64_t position = 0;      ///< from 0
  int32_t target = 0;
  std::optional<int32_t> against;

  int layers = 0, heads = 0;
  double embedding = 0, position_embedding = 0;
  std::vector<double> head;            ///< [L, H]
  std::vector<double> attention_bias;  ///< [L] the bias of the output projection
  std::vector<double> mlp;             ///< [L] with bias
  double final_bias = 0;  ///< the final layernorm's bias, which is no part of the residual stream

  struct Neuron {
    int layer;
    int64_t neuron;
    double activation, contribution;
  };
  std::vector<Neuron> neurons;  ///< as many as asked for, the largest first; parts of `mlp`
  std::vector<double>
      mlp_bias;  ///< [L] the part of `mlp` that is no neuron's; empty if no neurons were asked for

  double logit = 0;  ///< the model's own, or the difference of two
  double sum() const;
  /// What rounding left between the sum and the logit.
  double gap() const { return logit - sum(); }
};

/// Throws Error (user) as Model::forward does, and for tokens or a position that are not there.
LogitAttribution logit_attribution(const Model& model, std::span<const int32_t> ids,
                                   const AttributionOptions& options = {});

}  // namespace vitrine
