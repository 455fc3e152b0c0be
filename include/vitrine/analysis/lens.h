// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vitrine/analysis/tuned_lens.h"
#include "vitrine/generate.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Logit lens: next-token distributions decoded from the residual stream after each layer.
//
// h_l is the residual stream after block l, h_0 the input of the first block (token + position
// embedding), W_U the unembedding, L the number of blocks.

/// Variant of the logit lens.
enum class LensMode : uint8_t {
  /// softmax(ln_final(h_l) W_U) for l = 0..L. The last row is the model's own output.
  /// (nostalgebraist, "interpreting GPT: the logit lens", 2020.)
  kNormalized,
  /// softmax(h_l W_U) for l = 1..L, without the final layernorm except in the last row: the last of
  /// Hugging Face's hidden states is already normalised. (Alammar, "Ecco", 2021, `rankings`.)
  kEcco,
  /// softmax(ln_final(h_l + A_l h_l + b_l) W_U) for l = 0..L-1 with the maps of LensOptions::tuned.
  /// Row L is the model's own output. (Belrose et al. 2023; see tuned_lens.h.)
  kTuned,
};

/// "normalized", "ecco", "tuned".
std::string_view lens_mode_name(LensMode mode);
/// Inverse of lens_mode_name(). Throws Error (user) that lists the names.
LensMode lens_mode_from_name(std::string_view name);

/// Vector that is decoded in each row.
enum class LensSource : uint8_t {
  kResidual,  ///< h_l
  /// hook_attn_out of block l (counted from 1), for rows l = 1..L, so that h_l = h_(l-1) +
  /// attention_l + MLP_l. With kEcco no row has a layernorm: each row is a plain sum of directions
  /// of W_U.
  kAttention,
  kMlp,  ///< hook_mlp_out of block l, likewise
};

/// "residual", "attention", "mlp".
std::string_view lens_source_name(LensSource source);
/// Inverse of lens_source_name(). Throws Error (user) that lists the names.
LensSource lens_source_from_name(std::string_view name);

struct LensOptions {
  LensMode mode = LensMode::kNormalized;
  LensSource of = LensSource::kResidual;
  /// Translators for mode kTuned, which decodes the residual stream only.
  std::optional<TunedLens> tuned = {};
  /// Computes Lens::kl, at the cost of a second unembedding.
  bool kl = false;
  int top_k = 5;                    ///< number of most likely tokens to keep per cell; clamped to V
  std::vector<int32_t> watch = {};  ///< token ids to look up in every cell
  /// Positions to decode; negative counts from the end; empty: all.
  Indices<int64_t> positions = {};
  /// Rows l to compute, 0..L; negative counts from the last; empty: all rows of the mode.
  Indices<int> layers = {};
  /// Target token at the last position of the text, which has no next token; nullopt: the model's
  /// top-ranked token there. At every other position the target is the next token of the text.
  std::optional<int32_t> target = {};
  /// Edits applied during the run; captures are ignored. Edits of `logits` change the model's own
  /// output: the last row of the residual stream, the default target and what KL refers to.
  Hooks edits = {};
  /// Optional progress callback (counts cells); null disables reporting.
  Progress* progress = nullptr;
};

/// Result of the lens: one cell for each of R rows (layers) x P positions. A cell holds only what
/// was requested.
struct Lens {
  LensMode mode = LensMode::kNormalized;
  LensSource of = LensSource::kResidual;
  std::vector<int32_t> ids;        ///< the text
  std::vector<int> layers;         ///< [R] l of each row, ascending
  std::vector<int64_t> positions;  ///< [P] ascending
  std::vector<int32_t> targets;    ///< [P]
  std::vector<int32_t> watch;      ///< [W] as requested
  int top_k = 0;                   ///< K

  // Row-major over [R, P]. Log-probabilities are natural logarithms. A rank is 1 + the number of
  // tokens with a strictly greater logit, so ties share a rank.
  std::vector<int32_t> top_ids;          ///< [R, P, K] best first; ties by smaller id
  std::vector<double> top_log_probs;     ///< [R, P, K]
  std::vector<int32_t> target_ranks;     ///< [R, P]
  std::vector<double> target_log_probs;  ///< [R, P]
  std::vector<int32_t> watch_ranks;      ///< [R, P, W]
  std::vector<double> watch_log_probs;   ///< [R, P, W]
  std::vector<double> entropies;         ///< [R, P] entropy of the whole distribution, in nats
  /// [R, P], empty if not requested: KL(p_L || p_l) = sum_v p_L(v) (log p_L(v) - log p_l(v)) in
  /// nats, where p_L is the model's own output at that position. It is 0 in the last row of the
  /// residual stream.
  std::vector<double> kl;

  size_t rows() const { return layers.size(); }
  /// Index of a cell in the [R, P] arrays; multiply by K or W for the other arrays.
  size_t cell(size_t row, size_t position) const { return row * positions.size() + position; }
};

/// Runs the text once and decodes every requested layer. Besides the result it holds the residual
/// stream at the requested positions and the logits of a few rows at a time, never [R, P, V].
/// Throws Error (user) as Model::forward does; for a position, layer, target or watched id out of
/// range; for mode kTuned without translators, with another model's translators, or with another
/// source than the residual stream; and for a row with a NaN, naming the site where it first
/// appears.
Lens lens(const Model& model, std::span<const int32_t> ids, const LensOptions& options = {});

/// Lens over a generation (Ecco's `rankings`): continues `prompt`; the target of each step is the
/// token that was generated. In the result `ids` are the prompt and the new tokens, and `positions`
/// are those that precede the new tokens, one column per step. The model runs once; the residual
/// stream is kept during the generation. `look.positions` and `look.target` must be empty;
/// `look.edits` also change the generation. Throws Error (user) as generate() and lens() do, and
/// for a generation without tokens.
Lens rankings(const Model& model, std::span<const int32_t> prompt,
              const GenerateOptions& generation, const LensOptions& look = {});

}  // namespace vitrine
