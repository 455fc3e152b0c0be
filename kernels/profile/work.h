// SPDX-License-Identifier: MIT
#pragma once

#include "kernels/backend.h"

// What each operation of a Backend has to move and to multiply, from the shapes of its arguments:
// every argument counts once, however often an implementation reads it. Optional arguments count
// where they are given.

namespace vitrine::internal::profile {

struct Work {
  double bytes = 0;
  double flops = 0;  ///< of products and their sums, two each; 0 for element-wise operations
};

inline Work operator+(const Work& a, const Work& b) {
  return {a.bytes + b.bytes, a.flops + b.flops};
}

/// A row of each table read, a row written, for each token.
Work embed(const PassBatch& batch, const PackedMatrix& token_table,
           const PackedMatrix& position_table, Mat out);
Work lookup(const PassBatch& batch, const PackedMatrix& table, Mat out);
/// Of layernorm() and of layernorm_apply().
Work layernorm(const LayerNormArgs& args);
Work linear(const LinearArgs& args);
/// Of operations that read some matrices and write others.
Work matrices(std::initializer_list<Mat> list);

/// Keys and values, read and written.
Work append_kv(Mat k, Mat v);
/// Queries, the keys and values of all positions, the result; two products over the causal pairs.
Work attention(const AttentionArgs& args);
Work attention_scores(const AttentionArgs& args);   ///< queries, keys, a map; one product
Work attention_softmax(const AttentionArgs& args);  ///< two maps
Work attention_mix(const AttentionArgs& args);      ///< a map, values, the result; one product

Work linear_backward(const LinearBackwardArgs& args);
/// Of layernorm_backward() and its two halves.
Work layernorm_backward(const LayerNormBackwardArgs& args);
/// Five products over the causal pairs; three where the pattern is frozen.
Work attention_backward(const AttentionBackwardArgs& args);
Work attention_backward_pattern(const AttentionBackwardArgs& args);  ///< one product
Work attention_backward_scores(const AttentionBackwardArgs& args);   ///< three maps
Work attention_backward_inputs(const AttentionBackwardArgs& args);   ///< three products
/// Logits and references read, the seed written.
Work logit_targets(const LogitTargetArgs& args);

/// Rows and the unembedding read, what is kept written; the logits are never in memory.
Work logit_stats(const LogitStatsArgs& args);
Work sample(const SampleArgs& args);
Work next_step(const NextStepArgs& args);

/// The selected elements, read and written, and the operand.
Work edit(const EditArgs& args);
Work gather(Mat x, const Selection& where, DType store);
Work scatter(const Selection& where, Mat x);

Work widen(Mat x, const double* origin);
/// Rows read, the lower triangle read and written.
Work join_moments(const MomentsArgs& args);

Work pack(const HostWeight& source, DType store);

}  // namespace vitrine::internal::profile
