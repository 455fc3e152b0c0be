// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "vitrine/analysis/answer_tokens.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Direct logit attribution: a logit, or a difference of two, as a sum over the components that
// write to the residual stream (Elhage et al. 2021, "A mathematical framework for transformer
// circuits"; Wang et al. 2022).
//
// The residual stream before the final layernorm is a sum of embeddings, heads, biases and MLPs.
// The layernorm divides by a scale that depends on all of them. With this scale held constant at
// its value in this run, the logit is linear in each summand. The contribution of a component is
// its part of the sum times d logit / d residual.

struct AttributionOptions {
  /// Token whose logit is explained, of several their mean; empty: the model's top-ranked token.
  AnswerTokens target = {};
  AnswerTokens against = {};  ///< tokens whose mean logit is subtracted; empty: none
  /// Position whose next-token logits are read; negative counts from the end.
  int64_t position = -1;
  int neurons = 0;  ///< number of single MLP neurons to list, by absolute contribution
  /// Edits of the explained run; captures are ignored. Each counts with the component that it
  /// changes, and those of the residual stream under LogitAttribution::edits.
  Hooks edits = {};
  /// Optional progress callback of attribute_pairs(); null disables reporting.
  Progress* progress = nullptr;
};

/// Contributions in logits, computed from float32 activations and summed in double precision.
struct LogitAttribution {
  std::vector<int32_t> ids;  ///< the text
  int64_t position = 0;      ///< counts from 0
  AnswerTokens target, against;

  int layers = 0, heads = 0;
  double embedding = 0, position_embedding = 0;
  std::vector<double> head;            ///< [L, H]
  std::vector<double> attention_bias;  ///< [L] bias of the output projection
  std::vector<double> mlp;             ///< [L] output including the bias
  /// Bias of the final layernorm and of the unembedding, which are outside the residual stream.
  double final_bias = 0;
  double edits = 0;  ///< what edits of the residual stream itself add; 0 without edits

  struct Neuron {
    int layer;
    int64_t neuron;
    double activation, contribution;
  };
  /// The requested number, largest absolute contribution first; parts of `mlp`.
  std::vector<Neuron> neurons;
  /// [L] output bias, the part of `mlp` outside all neurons; empty if no neurons were requested
  std::vector<double> mlp_bias;

  double logit = 0;  ///< the model's logit, or the difference of two
  double sum() const;
  /// Rounding error between the sum and the logit.
  double gap() const { return logit - sum(); }
};

/// Throws Error (user) as Model::forward does, and for a token or position out of range.
LogitAttribution logit_attribution(const Model& model, std::span<const int32_t> ids,
                                   const AttributionOptions& options = {});

}  // namespace vitrine
