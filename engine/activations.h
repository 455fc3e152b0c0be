#pragma once

#include "engine/arena.h"
#include "hooks/plan.h"
#include "kernels/backend.h"
#include "vitrine/config.h"

namespace vitrine {

/// The working memory of one pass over `rows` packed tokens. What only a watched site needs is there only if it is watched.
struct Activations {
  Mat resid;       ///< [rows, D] the residual stream, float32; the next five are of the backend's activation_dtype
  Mat normalized;  ///< [rows, D] output of a layernorm
  Mat qkv;         ///< [rows, 3D] queries, keys and values side by side
  Mat z;           ///< [rows, D] mixed values of all heads
  Mat inner;       ///< [rows, M] MLP neurons after the activation function
  Mat selected;    ///< [logit rows, D] the rows that get logits, where they are not all: of the residual stream (float32)
  Mat selected_normalized;  ///< [logit rows, D] and behind the final layernorm

  // For watched sites, float32:
  Mat branch;      ///< [rows, D] what is about to be added to the residual stream
  Mat scale;       ///< [rows, 1]
  Mat inner_pre;   ///< [rows, M]
  Mat results;     ///< [rows, H D]
  float* scores = nullptr;   ///< a map
  float* pattern = nullptr;  ///< a map

  /// `map_elements`: the total size of one layer's attention map over all sequences.
  Activations(Arena& arena, const Config& config, const Plan& plan, DType dtype, int64_t rows, int64_t logit_rows, int64_t map_elements);
};

}  // namespace vitrine
