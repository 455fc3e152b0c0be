// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"
#include "vitrine/config.h"

namespace vitrine::internal {

/// Where weights come from: a checkpoint, or a seed. Names are Hugging Face's, without the prefix.
class WeightSource {
 public:
  virtual ~WeightSource() = default;
  /// A matrix, as [in, out] with any strides; wte, wpe and lm_head with in = D. Valid until
  /// done_with(name).
  virtual HostWeight matrix(const std::string& name) = 0;
  virtual std::vector<float> vector(const std::string& name) = 0;
  virtual void done_with(const std::string& name) = 0;
};

struct LayerWeights {
  const float* ln1_weight = nullptr;
  const float* ln1_bias = nullptr;
  PackedMatrix qkv;  ///< [D, 3D]
  const float* qkv_bias = nullptr;
  PackedMatrix attn_out;  ///< [D, D]
  const float* attn_out_bias = nullptr;
  const float* ln2_weight = nullptr;
  const float* ln2_bias = nullptr;
  PackedMatrix mlp_in;  ///< [D, M]
  const float* mlp_in_bias = nullptr;
  PackedMatrix mlp_out;  ///< [M, D]
  const float* mlp_out_bias = nullptr;
};

/// All parameters, packed by a backend into one buffer of its memory. Biases and layernorm
/// parameters are float32; positions, too, where the weights are i8.
struct Weights {
  PackedMatrix token_embedding;     ///< [D, V]
  PackedMatrix position_embedding;  ///< [D, context]
  PackedMatrix unembedding;         ///< [D, V]; the token embedding itself where they are tied
  const float* unembedding_bias = nullptr;  ///< [V]; null: none
  std::vector<LayerWeights> layers;
  const float* ln_final_weight = nullptr;
  const float* ln_final_bias = nullptr;
  DType dtype = DType::kF32;
  Buffer memory;

  /// Packs tensor after tensor, so that at most one is held twice at any time. `on_progress(done,
  /// total)` counts bytes. Throws Error (user) if the buffer does not fit in memory.
  static Weights load(WeightSource& source, const Config& config, DType store, Backend& backend,
                      const std::function<void(size_t, size_t)>& on_progress = {});
};

}  // namespace vitrine::internal
