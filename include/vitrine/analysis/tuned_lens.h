// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "vitrine/config.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"
#include "vitrine/tensor.h"

namespace vitrine {

// The tuned lens (Belrose et al. 2023, "Eliciting latent predictions from transformers with the
// tuned lens"): a learned affine map translates each layer into the last layer's basis before it is
// unembedded. Row l of the lens is
//
//   softmax(ln_final(h_l + A_l h_l + b_l) W_U),  l = 0..L-1,
//
// where h_l is the residual stream before block l. Row L is the model's own output.

/// Affine maps (translators) of a model, one for each row except the last. Copies share the
/// tensors.
struct TunedLens {
  /// Name of the model that the maps were fitted to, from their file; may be empty.
  std::string model;
  /// Hashes of the unembedding that the maps were fitted for, from their file; empty: unknown. The
  /// first is exact and written by Vitrine; the second is the Python package's unembed_hash, which
  /// a fine-tuned model shares with its origin.
  std::string unembedding, unembed_hash;
  int64_t width = 0;            ///< D
  std::vector<Tensor> weights;  ///< [L] A_l: [D, D] float32, [output][input]
  std::vector<Tensor> biases;   ///< [L] b_l: [D] float32; zeros if the file has none

  int layers() const { return static_cast<int>(weights.size()); }
  /// h + A_l h + b_l for rows [rows, D] of the residual stream in host memory, summed in double
  /// precision: [rows, D] float32. Throws Error (user) for a layer without a translator and for
  /// rows of a different width.
  Tensor translate(int layer, TensorView rows) const;
};

/// Reads translators from a folder in the layout of the Python package `tuned-lens`: config.json
/// (d_model, num_hidden_layers, bias, lens_type) and params.pt, a state_dict of `N.weight` [D, D]
/// and `N.bias` [D] for N = 0..L-1; or the same tensors in params.safetensors, which takes
/// precedence. Dtypes: f32, f16, bf16. Throws Error (user) naming the file for a missing file, a
/// different lens_type, sizes or a hash of the unembedding that do not match the model, a missing
/// or unexpected tensor, and NaN or infinity. A file without a hash is accepted for any model of
/// its sizes; `model` of the result tells which it was made for.
TunedLens load_tuned_lens(const std::filesystem::path& folder, const Model& model);

/// Writes config.json and params.safetensors into `folder`, which is created if missing. Each file
/// is written atomically. The Python package reads params.pt:
/// torch.save(safetensors.torch.load_file("params.safetensors"), "params.pt") creates it. Throws
/// Error (user) for a path that cannot be written.
void save_tuned_lens(const std::filesystem::path& folder, const TunedLens& lens);

// Closed-form fit: ridge regression of h_L - h_l on h_l. With A and b of 0 the lens equals the
// normalized lens, so the penalty shrinks towards it. (Din et al. 2023, "Jump to conclusions", fit
// such maps. Belrose et al. minimise the divergence from the model's output by gradient descent,
// which takes hours; this fit takes one pass.) For each layer
//
//   min over A, b of  sum_n w_n |h_L,n - h_l,n - A h_l,n - b|^2 + lambda |A|^2,   w_n = 1 / s_n^2,
//
// where n runs over the corpus's tokens and s_n is the final layernorm's scale of h_L,n. Errors are
// thus weighted as the unembedding sees them, so that GPT-2's large first positions do not
// dominate. lambda is alpha times the mean over the D inputs of sum_n w_n (h - mean of h)^2, with
// means weighted by w, so that alpha is independent of the layer and of the corpus's length. b is
// not penalised.

/// Returns the next text of the corpus as token ids, at most the model's context; nullopt at the
/// end. (WindowReader of corpus.h cuts documents accordingly.) Texts are read once, in order.
using NextText = std::function<std::optional<std::vector<int32_t>>()>;

struct TunedLensFitOptions {
  double alpha = 1e-3;  ///< strength of the penalty, > 0
  /// Maximum number of tokens to read, held-out ones included; 0: the whole corpus.
  int64_t max_tokens = 0;
  int held_out_every = 10;  ///< every n-th text is held out for the evaluation; at least 2
  /// Maximum number of held-out tokens; further texts are used for the fit. Only held-out tokens
  /// are kept in memory. Each costs 4 L rows of logits.
  int64_t max_held_out = 2000;
  /// Edits applied during all runs, so that the translators are those of the edited model; captures
  /// are ignored. Edits after the last block change nothing that is fitted and are rejected.
  Hooks edits = {};
  /// Optional progress callback (counts tokens); null disables reporting.
  Progress* progress = nullptr;
};

/// Evaluation of one row on held-out text, as means over tokens, in nats.
struct TunedLensRow {
  int layer = 0;               ///< l
  double normalized_loss = 0;  ///< -log p of the next token under the normalized lens
  double tuned_loss = 0;       ///< -log p of the next token under the tuned lens
  double normalized_kl = 0;    ///< KL(the model's output || the normalized lens)
  double tuned_kl = 0;         ///< KL(the model's output || the tuned lens)
};

struct TunedLensFit {
  TunedLens lens;
  std::vector<TunedLensRow> rows;  ///< [L] l = 0..L-1
  /// -log p of the next token under the model itself, on the same held-out tokens
  double model_loss = 0;
  /// Number of tokens of each part; the last token of a held-out text is not evaluated.
  int64_t fitted_tokens = 0, held_out_tokens = 0;
  double alpha = 0;  ///< the value that was used
};

/// Fits the translators of `model` and evaluates them on held-out text. The corpus is read once and
/// not kept. Two [D, D] matrices in double precision are kept per layer: 16 L D^2 bytes (113 MB for
/// GPT-2 small, 2 GB for GPT-2 XL). Throws Error (user) as Model::forward does, for options out of
/// range, for an edit after the last block or of selected sequences, for activations that are not
/// finite, and for a corpus with fewer than two tokens for the fit or without a held-out text of
/// two tokens.
TunedLensFit fit_tuned_lens(const Model& model, const NextText& texts,
                            const TunedLensFitOptions& options = {});

}  // namespace vitrine
