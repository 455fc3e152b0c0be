// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace vitrine {

/// Hyper-parameters of a GPT-2 checkpoint, with the letters used in all headers: L layers, D model
/// width, H heads, K = D / H head width, M inner (MLP) width, V vocabulary, and the context length.
struct Config {
  int layers = 0;
  int heads = 0;
  int64_t width = 0;
  int64_t inner = 0;
  int64_t vocab = 0;
  int64_t context = 0;
  float layer_norm_epsilon = 1e-5f;
  std::string activation = "gelu_new";  ///< Hugging Face's name
  bool scale_attention = true;          ///< scale_attn_weights: scores / sqrt(K)
  /// scale_attn_by_inverse_layer_idx: scores / (layer + 1)
  bool scale_attention_by_inverse_layer = false;
  bool tied_unembedding = true;   ///< W_U is the transposed token embedding
  bool unembedding_bias = false;  ///< the logits have a bias, b_U (lm_head.bias)
  /// Of each layer: the number of nearest positions, its own included, that a query attends to; 0:
  /// all. Empty: all in each layer.
  std::vector<int64_t> windows = {};

  int64_t head_width() const { return width / heads; }
  int64_t window(int layer) const {
    return windows.empty() ? 0 : windows[static_cast<size_t>(layer)];
  }
  /// The number of tokens up to which no window leaves out a position; at most the context.
  int64_t whole_context() const;
  /// How many numbers the weights have, a tied unembedding counted once.
  int64_t parameters() const;
};

}  // namespace vitrine
