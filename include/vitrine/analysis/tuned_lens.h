// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vitrine/config.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"
#include "vitrine/tensor.h"

namespace vitrine {

// The tuned lens (Belrose et al. 2023, "Eliciting latent predictions from transformers with the
// tuned lens"): before a layer is read as if it were the last, a learned affine map brings it into
// the last layer's basis. Row l of the lens is
//
//   softmax(ln_final(h_l + A_l h_l + b_l) W_U),  l = 0..L-1,
//
// h_l being the residual stream before block l; row L is the model's own output.

/// The affine maps of a model, one for each row but the last. Copies share the numbers.
struct TunedLens {
  std::string
      model;  ///< name of the model that they were fitted to, as their file says; may be empty
  int64_t width = 0;            ///< D
  std::vector<Tensor> weights;  ///< [L] A_l: [D, D] float32, [output][input]
  std::vector<Tensor> biases;   ///< [L] b_l: [D] float32; zeros where the file has none

  int layers() const { return static_cast<int>(weights.size()); }
  /// h + A_l h + b_l for rows [rows, D] of the residual stream in host memory, summed in double
  /// precision: [rows, D] float32. Throws Error (user) for a layer that has no translator and rows
  /// of another width.
  Tensor translate(int layer, TensorView rows) const;
};

/// Reads translators from a folder as the Python package `tuned-lens` lays it out: config.json
/// (d_model, num_hidden_layers, bias, lens_type) and params.pt, a state_dict of `N.weight` [D, D]
/// and `N.bias` [D] for N = 0..L-1; or the same tensors in params.safetensors, which is taken
/// first. f32, f16 or bf16. Throws Error (user), one line naming the file: one that is missing,
/// another lens_type, sizes that are not this model's, a tensor that is missing or that no
/// translator has, NaN and infinities.
TunedLens load_tuned_lens(const std::filesystem::path& folder, const Config& config);

/// Writes config.json and params.safetensors into `folder`, which is made if it is not there; each
/// file whole or not at all. The Python package reads params.pt:
/// torch.save(safetensors.torch.load_file("params.safetensors"), "params.pt"). Throws Error (user)
/// for a path that cannot be written.
void save_tuned_lens(const std::filesystem::path& folder, const TunedLens& lens);

// Fitting, in closed form: ridge regression of h_L - h_l on h_l. With no regression at all A and b
// are 0 and the lens is the normalized one, so the penalty shrinks towards that. (Din et al. 2023,
// "Jump to conclusions", fit such maps; Belrose et al. descend on the divergence from the model's
// output instead, which takes hours where this takes one pass.) For each layer
//
//   min over A, b of  sum_n w_n |h_L,n - h_l,n - A h_l,n - b|^2 + lambda |A|^2,   w_n = 1 / s_n^2,
//
// n running over the corpus's tokens, s_n = the final layernorm's scale of h_L,n: errors count as
// the unembedding sees them, so that GPT-2's huge first positions do not outweigh all others.
// lambda = alpha x the mean over the D inputs of sum_n w_n (h - mean of h)^2, means weighted by w
// too: the same alpha does as much for any layer and any length of the corpus. b is not penalised.

/// The next text of the corpus as token ids, at most the model's context of them; nothing at the
/// end. (WindowReader of corpus.h cuts documents to that.) Texts are asked for once, in order.
using NextText = std::function<std::optional<std::vector<int32_t>>()>;

struct TunedLensFitOptions {
  double alpha = 1e-3;  ///< of the penalty, above 0
  int64_t max_tokens =
      0;  ///< stop behind so many tokens, held-out ones included; 0: at the end of the corpus
  int held_out_every =
      10;  ///< each so-many-th text is for the measurement and not for the fit; at least 2
  /// Tokens to measure on; texts beyond them are fitted to. They are all that is kept of the
  /// corpus. Each costs 4 L rows of logits.
  int64_t max_held_out = 2000;
  Progress* progress = nullptr;  ///< counts tokens; null: nobody wants to know
};

/// How good a row is on held-out text, as means over tokens, in nats.
struct TunedLensRow {
  int layer = 0;               ///< l
  double normalized_loss = 0;  ///< -log p of the next token by the normalized lens
  double tuned_loss = 0;       ///< the same by the tuned one
  double normalized_kl = 0;    ///< KL(the model's output || the normalized lens)
  double tuned_kl = 0;         ///< KL(the model's output || the tuned lens)
};

struct TunedLensFit {
  TunedLens lens;
  std::vector<TunedLensRow> rows;  ///< [L] l = 0..L-1
  double model_loss =
      0;  ///< -log p of the next token by the model itself, on the same held-out tokens
  int64_t fitted_tokens = 0, held_out_tokens = 0;  ///< tokens of either part; of the held-out ones
                                                   ///< each but a text's last is measured
  double alpha = 0;                                ///< as used
};

/// Fits the translators of `model` and measures them on text that they have not seen. The corpus is
/// read once and not kept: for each layer two matrices [D, D] in double precision are, 16 L D^2
/// bytes (113 MB for GPT-2 small, 2 GB for GPT-2 XL). Throws Error (user) as Model::forward does,
/// for options outside their ranges, and for a corpus that leaves fewer than two tokens for the fit
/// or no text of two for the measurement.
TunedLensFit fit_tuned_lens(const Model& model, const NextText& texts,
                            const TunedLensFitOptions& options = {});

}  // namespace vitrine
