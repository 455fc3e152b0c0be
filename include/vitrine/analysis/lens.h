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

// The logit lens: what the model would say next if it stopped after each layer.
//
// h_l is the residual stream after block l, h_0 what enters the first block (token + position
// embedding), W_U the unembedding, L the number of blocks.

/// Which of the published readings is computed.
enum class LensMode : uint8_t {
  /// softmax(ln_final(h_l) W_U) for l = 0..L. The last row is the model's own output.
  /// (nostalgebraist, "interpreting GPT: the
  /// logit lens", 2020.)
  kNormalized,
  /// For l = 1..L, softmax(h_l W_U) without the final layernorm, except the last row, which has it:
  /// in Hugging Face's
  /// hidden states the last one is already normalised. (Alammar, "Ecco", 2021, `rankings`.)
  kEcco,
  /// softmax(ln_final(h_l + A_l h_l + b_l) W_U) for l = 0..L-1 with the maps of LensOptions::tuned;
  /// row L is the model's own output.
  /// (Belrose et al. 2023; see tuned_lens.h.)
  kTuned,
};

/// "normalized", "ecco" or "tuned".
std::string_view lens_mode_name(LensMode mode);
/// The inverse. Throws Error (user) naming the words.
LensMode lens_mode_from_name(std::string_view name);

/// What is read as if it were the last layer's residual stream.
enum class LensSource : uint8_t {
  kResidual,  ///< h_l
  /// What the attention of block l (counted from 1) writes to the residual stream, hook_attn_out:
  /// rows l = 1..L, so that h_l = h_(l-1) + attention_l + MLP_l. Mode kEcco has no layernorm in any
  /// row here: each is a sum of directions of W_U.
  kAttention,
  kMlp,  ///< the same of its MLP, hook_mlp_out
};

/// "residual", "attention" or "mlp".
std::string_view lens_source_name(LensSource source);
/// The inverse. Throws Error (user) naming the words.
LensSource lens_source_from_name(std::string_view name);

struct LensOptions {
  LensMode mode = LensMode::kNormalized;
  LensSource of = LensSource::kResidual;
  /// For mode kTuned, which reads the residual stream only.
  std::optional<TunedLens> tuned = {};
  /// Whether Lens::kl is wanted. It takes the logits once more.
  bool kl = false;
  int top_k = 5;                    ///< the likeliest tokens to keep of each cell; more than V is V
  std::vector<int32_t> watch = {};  ///< ids to look up in every cell
  std::vector<int64_t> positions =
      {};  ///< positions of the text to look at; negative from its end; empty: all
  std::vector<int> layers =
      {};  ///< l of the rows h_l to compute, 0..L; negative from the last; empty: all of the mode
  /// What is looked up as the target at the last position of the text, which has no next token;
  /// nothing: the token that the model itself ranks first there. At every other position the target
  /// is the token that follows in the text.
  std::optional<int32_t> target = {};
  /// Changes to the model while it is looked at. Only the edits are used. An edit of `logits` is
  /// not seen by any row.
  Hooks edits = {};
  Progress* progress = nullptr;  ///< counts cells; null: nobody wants to know
};

/// What the lens saw: R rows (layers) x P positions, a cell each. Never holds more of a cell than
/// what was asked for.
struct Lens {
  LensMode mode = LensMode::kNormalized;
  LensSource of = LensSource::kResidual;
  std::vector<int32_t> ids;        ///< the text
  std::vector<int> layers;         ///< [R] l of each row, ascending
  std::vector<int64_t> positions;  ///< [P] ascending
  std::vector<int32_t> targets;    ///< [P]
  std::vector<int32_t> watch;      ///< [W] as asked
  int top_k = 0;                   ///< K

  // Row-major over [R, P]. Log-probabilities are natural logarithms. A rank is 1 + the number of
  // tokens whose logit is strictly greater, so that equals share a rank.
  std::vector<int32_t> top_ids;          ///< [R, P, K] best first; of equals the smaller id first
  std::vector<double> top_log_probs;     ///< [R, P, K]
  std::vector<int32_t> target_ranks;     ///< [R, P]
  std::vector<double> target_log_probs;  ///< [R, P]
  std::vector<int32_t> watch_ranks;      ///< [R, P, W]
  std::vector<double> watch_log_probs;   ///< [R, P, W]
  std::vector<double> entropies;         ///< [R, P] of the whole distribution, in nats
  /// [R, P], or empty where it was not asked for: KL(p_L || p_l) = sum_v p_L(v) (log p_L(v) - log
  /// p_l(v)) in nats, p_L being the model's own output at that position: what reading layer l in
  /// place of the output loses. 0 in the last row of the residual stream.
  std::vector<double> kl;

  size_t rows() const { return layers.size(); }
  /// Index of a cell in the [R, P] arrays; times K or W in the others.
  size_t cell(size_t row, size_t position) const { return row * positions.size() + position; }
};

/// Runs the text once and looks at every layer. Beyond the result it holds the residual stream at
/// the positions asked for, and the logits of a few rows at a time: never [R, P, V]. Throws Error
/// (user) as Model::forward does, and for a position, layer, target or watched id that is not
/// there; for mode kTuned without translators, with another model's, or of anything but the
/// residual stream.
Lens lens(const Model& model, std::span<const int32_t> ids, const LensOptions& options = {});

/// The lens over a generation (Ecco's `rankings`): continues `prompt` and looks at each step with
/// the token that was then chosen as the target. In the result `ids` are the prompt and the new
/// tokens, and `positions` are those of which the new tokens are the successors: column s of the
/// pictures is step s. The model runs once: what the layers held is kept while it generates.
/// `look.positions` and `look.target` must be empty; `look.edits` change the generation, too.
/// Throws Error (user) as generate() and lens() do, and for a generation of no tokens.
Lens rankings(const Model& model, std::span<const int32_t> prompt,
              const GenerateOptions& generation, const LensOptions& look = {});

}  // namespace vitrine
