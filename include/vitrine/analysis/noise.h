// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "vitrine/analysis/saliency.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Noise: a prompt is damaged in the ways in which models were trained to repair text, and what the
// model says and holds afterwards is compared with the whole prompt. Contiguous spans against
// scattered tokens is the comparison of SpanBERT (Joshi 2020); the other five are BART's (Lewis
// 2020, section 2.2). Both trained with a mask token; GPT-2 has none, so what takes its place is
// chosen (NoiseOptions::mask) and is part of the result.
//
// T tokens of the prompt, L blocks, R repetitions.

enum class NoiseKind : uint8_t {
  /// Spans of whole words, lengths geometric with p = 0.2 up to 10 words, until no word fits into
  /// the budget. Each token is replaced.
  kSpans,
  /// As many single tokens as the same repetition of kSpans has masked, drawn one by one.
  kScattered,
  /// BART's token masking: exactly the budget, single tokens, each replaced.
  kTokenMasking,
  /// Token deletion: exactly the budget, single tokens; those behind move up.
  kTokenDeletion,
  /// Text infilling: spans whose lengths are Poisson(3), the last cut so that exactly the budget is
  /// taken out, each replaced by one mask. A
  /// span of length 0 inserts a mask. At least one token stands between two spans, as far as there
  /// are enough.
  kTextInfilling,
  /// Sentences in random order. Tokens keep their bytes: the sentence that was first brings no
  /// blank before it.
  kSentencePermutation,
  /// Document rotation: it begins with a token drawn uniformly (the first one included), and what
  /// stood before comes last.
  kRotation,
};
inline constexpr int kNoiseKinds = 7;
/// "spans", "scattered", "token-masking", "token-deletion", "text-infilling",
/// "sentence-permutation", "rotation".
std::string_view noise_kind_name(NoiseKind kind);
/// The inverse. Throws Error (user) listing the names.
NoiseKind noise_kind_from_name(std::string_view name);

struct NoiseOptions {
  /// Which noises, in this order; empty: all.
  std::vector<NoiseKind> kinds = {};
  int repetitions = 50;  ///< R, 1..1000000
  double budget = 0.15;  ///< share of the tokens, 0..1: round(budget T) tokens, 1 at least; 0:
                         ///< none, and those noises change nothing
  double p = 0.2;        ///< of kSpans: lengths in words, p (1 - p)^(k - 1) for k up to `longest`
  int longest = 10;
  double poisson = 3;  ///< of kTextInfilling: mean length in tokens, 0.5..100
  uint64_t seed = 0;   ///< noise depends on it, the kind and the repetition alone
  /// What takes the place of a masked token: zero, the mean embedding, a token, a tensor [D], or
  /// deletion, with which nothing does.
  Replacement mask = {.kind = Replacement::Kind::kMean};
  /// What the model should say behind the prompt. Empty: the one token that it ranks first behind
  /// the whole prompt.
  std::vector<int32_t> continuation = {};
  /// Changes to the model; only the edits are used, and none may be of hook_embed or narrowed to
  /// sequences.
  Hooks edits = {};
  /// Tokens that go through the model at once: whole inputs, as many as fit, one at least. Results
  /// do not depend on it.
  int64_t batch_tokens = 512;
  Progress* progress = nullptr;  ///< counts inputs; null: nobody wants to know
};

/// A prompt with noise.
struct NoisedPrompt {
  std::vector<int32_t> ids;  ///< [T']; -1 where a mask stands that is no token
  std::vector<int64_t>
      sources;  ///< [T'] position in the prompt of a token that survived; -1 for a mask
};

/// What the repetition-th draw of a noise makes of a prompt, without a model. `tokenizer` says
/// where words and sentences end; without one every token is a word, and the text one sentence.
/// With options.mask of kDelete there are no masks. Throws Error (user) for options outside their
/// ranges.
NoisedPrompt noised_prompt(const Tokenizer* tokenizer, std::span<const int32_t> ids, NoiseKind kind,
                           int repetition, const NoiseOptions& options);

/// The first token of each sentence. One ends with a token whose text ends in . ! or ? (closing
/// quotes and brackets may follow), if the next token begins with white space. Without a tokenizer
/// the text is one sentence.
std::vector<int64_t> sentence_begins(const Tokenizer* tokenizer, std::span<const int32_t> ids);

struct Estimate {
  double mean = 0;
  double standard_error = 0;  ///< of the mean; 0 for a single number
};
/// Of the numbers that are not NaN; NaN without any.
Estimate estimate(std::span<const double> numbers);

/// What one noise does, repetition by repetition.
struct NoiseEffect {
  NoiseKind kind = NoiseKind::kSpans;
  std::vector<NoisedPrompt> prompts = {};  ///< [R]
  std::vector<int32_t> masked = {};        ///< [R] tokens of the prompt that did not survive
  std::vector<double> log_probs = {};  ///< [R] of the continuation, in nats, summed over its tokens
  std::vector<double> ranks = {};      ///< [R] of the continuation's tokens, the mean
  std::vector<double> cosines =
      {};  ///< [R, L+1] of the residual stream at the prompt's last token, with and without noise
  /// [R, L+1] linear CKA (Kornblith 2019) of the residual stream over the tokens that survived,
  /// each beside itself in the whole prompt; NaN for fewer than two.
  std::vector<double> ckas = {};

  // Over the repetitions.
  Estimate log_prob_change = {};  ///< with noise minus without
  Estimate rank = {};
  std::vector<Estimate> cosine = {}, cka = {};  ///< [L+1]
};

struct Noise {
  std::vector<int32_t> ids;           ///< [T] the prompt
  std::vector<int32_t> continuation;  ///< [C]
  bool own_choice = false;            ///< whether the model chose it
  int64_t words = 0, sentences = 0;
  int64_t budget = 0;   ///< tokens
  double log_prob = 0;  ///< of the continuation behind the whole prompt, in nats
  double rank = 0;      ///< the mean of its tokens' ranks; 1 + the number of tokens whose logit is
                        ///< strictly greater
  std::vector<NoiseEffect> effects = {};  ///< one a kind, as asked
  /// kSpans less kScattered, repetition by repetition: log-probability's change. Present if both
  /// were asked for.
  std::optional<Estimate> spans_less_scattered = {};
};

/// Row l of [L+1] is the residual stream after block l, row 0 what enters the first.
/// Holds the residual streams of one batch and of the whole prompt.
/// Throws Error (user) as Model::forward does; for an empty prompt; options outside their ranges; a
/// mask of a shape that does not fit; a continuation outside the vocabulary; a noise that would
/// leave nothing of the prompt; and a prompt that, with its continuation and the masks put in, does
/// not fit into the context.
Noise noise(const Model& model, std::span<const int32_t> prompt, const NoiseOptions& options = {});

}  // namespace vitrine
