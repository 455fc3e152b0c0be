// SPDX-License-Identifier: MIT
#pragma once

#include <vector>

#include "engine/arena.h"
#include "hooks/hook_run.h"
#include "kernels/backend.h"
#include "vitrine/config.h"

namespace vitrine::internal {

/// Activations that a forward pass saves for a backward pass.
enum class Keep : uint8_t {
  kNothing,    ///< every layer works in the same memory, the residual stream in place
  kResiduals,  ///< what enters each block and what leaves the last one
  kAll,        ///< everything that the backward pass reads
};

/// What a block computes on its way and a backward pass reads. Where it is not kept, layers share
/// the memory.
struct LayerActivations {
  Mat resid_pre;  ///< [rows, D] the residual stream, float32
  Mat resid_mid;  ///< [rows, D]
  Mat qkv;        ///< [rows, 3D] queries, keys and values side by side
  Mat z;          ///< [rows, D] mixed values of all heads
  Mat lse;        ///< [rows, H] float32, only for a backward pass on a backend that reads it
  Mat inner_pre;  ///< [rows, M] float32, only for a backward pass or where it is watched
};

/// The working memory of one pass over `rows` packed tokens. What only a watched site needs is
/// there only if it is watched.
struct Activations {
  Keep keep = Keep::kNothing;
  std::vector<LayerActivations> layers;  ///< [L]
  Mat resid_final;  ///< [rows, D] residual stream after the last block, float32
  Mat normalized;   ///< [rows, D] output of a layernorm; as qkv and z, of the backend's
                    ///< activation_dtype
  Mat inner;        ///< [rows, M] MLP neurons after the activation function, of the same type
  Mat selected;     ///< [logit rows, D] the rows that get logits, where they are not all: of the
                    ///< residual stream (float32)
  Mat selected_normalized;  ///< [logit rows, D] the same after the final layernorm

  // For watched sites, float32:
  Mat branch;                ///< [rows, D] what is about to be added to the residual stream
  Mat scale;                 ///< [rows, 1]
  Mat results;               ///< [rows, H D]
  float* scores = nullptr;   ///< a map
  float* pattern = nullptr;  ///< a map

  struct Sizes {
    int64_t rows = 0, logit_rows = 0;
    int64_t map_elements = 0;  ///< of one layer's attention map over all sequences
  };
  Activations() = default;
  Activations(Arena& arena, const Config& config, const Plan& plan, const Backend& backend,
              DType dtype, const Sizes& sizes, Keep keep);

  /// Where captures keep the residual stream whole, it is written there instead of being copied
  /// there: for a pass that keeps nothing else.
  void write_stream_to_captures(const HookRun& hooks);

  /// Residual stream after a block.
  const Mat& resid_post(int layer) const {
    const auto next = static_cast<size_t>(layer) + 1;
    return next < layers.size() ? layers[next].resid_pre : resid_final;
  }

 private:
  void take_layers(Arena& arena, const Config& config, bool any_inner_pre, const Backend& backend,
                   DType dtype, int64_t rows);
};

}  // namespace vitrine::internal
