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

// Noise: corrupts a prompt as denoising pre-training does, and compares the model's predictions and
// hidden states with those of the original prompt. Contiguous spans versus scattered tokens is the
// comparison of SpanBERT (Joshi 2020); the other five kinds are BART's (Lewis 2020, section 2.2).
// Both were trained with a mask token. GPT-2 has no mask token, so the replacement is an option
// (NoiseOptions::mask) and part of the result.
//
// T tokens of the prompt, L blocks, R repetitions.

enum class NoiseKind : uint8_t {
  /// Spans of whole words with geometric lengths (p = 0.2, at most 10 words) until no further word
  /// fits the budget. Each token is replaced.
  kSpans,
  /// Single tokens drawn at random, in the number that the same repetition of kSpans masks.
  kScattered,
  /// BART's token masking: single tokens, exactly the budget, each replaced.
  kTokenMasking,
  /// BART's token deletion: single tokens, exactly the budget, removed; later tokens move forward.
  kTokenDeletion,
  /// BART's text infilling: spans with Poisson(3) lengths, each replaced by one mask. The last span
  /// is cut so that exactly the budget is removed. A span of length 0 inserts a mask. At least one
  /// token separates two spans, as long as enough tokens remain.
  kTextInfilling,
  /// BART's sentence permutation: sentences in random order. Tokens are moved unchanged, so the
  /// former first sentence has no space before it.
  kSentencePermutation,
  /// BART's document rotation: the text starts at a uniformly drawn token (possibly the first); the
  /// tokens before it move to the end.
  kRotation,
};
inline constexpr int kNoiseKinds = 7;
/// "spans", "scattered", "token-masking", "token-deletion", "text-infilling",
/// "sentence-permutation", "rotation".
std::string_view noise_kind_name(NoiseKind kind);
/// Inverse of noise_kind_name(). Throws Error (user) that lists the names.
NoiseKind noise_kind_from_name(std::string_view name);

struct NoiseOptions {
  /// Kinds to run, in this order; empty: all.
  std::vector<NoiseKind> kinds = {};
  int repetitions = 50;  ///< R, number of repetitions, 1..1000000
  /// Share of the tokens, 0..1: round(budget T) tokens, at least 1; 0 disables the noises that have
  /// a budget.
  double budget = 0.15;
  double p = 0.2;  ///< kSpans: probability p (1 - p)^(k - 1) of a length of k words, k <= `longest`
  int longest = 10;
  double poisson = 3;  ///< kTextInfilling: mean span length in tokens, 0.5..100
  uint64_t seed = 0;   ///< the noise depends only on the seed, the kind and the repetition
  /// Replacement of a masked token: zero, the mean embedding, a token, a tensor [D], or deletion.
  Replacement mask = {.kind = Replacement::Kind::kMean};
  /// Expected continuation of the prompt. Empty: the model's top-ranked next token after the
  /// original prompt.
  std::vector<int32_t> continuation = {};
  /// Edits applied during all runs; captures are ignored. Edits of hook_embed and edits of selected
  /// sequences are invalid.
  Hooks edits = {};
  /// Maximum tokens per forward pass, which runs whole inputs and at least one. Results do not
  /// depend on it.
  int64_t batch_tokens = 512;
  /// Optional progress callback (counts inputs); null disables reporting.
  Progress* progress = nullptr;
};

/// Corrupted prompt.
struct NoisedPrompt {
  std::vector<int32_t> ids;      ///< [T'] token ids; -1 for a mask without a token id
  std::vector<int64_t> sources;  ///< [T'] original position of each token; -1 for a mask
};

/// Returns draw number `repetition` of a noise applied to a prompt; runs no model. `tokenizer`
/// provides word and sentence boundaries; without one every token is a word and the text is one
/// sentence. With options.mask of kDelete there are no masks. Throws Error (user) for options out
/// of range.
NoisedPrompt noised_prompt(const Tokenizer* tokenizer, std::span<const int32_t> ids, NoiseKind kind,
                           int repetition, const NoiseOptions& options);

/// First token of each sentence. A sentence ends at a token whose text ends in . ! or ? (closing
/// quotes and brackets may follow) if the next token begins with white space. Without a tokenizer
/// the text is one sentence.
std::vector<int64_t> sentence_begins(const Tokenizer* tokenizer, std::span<const int32_t> ids);

struct Estimate {
  double mean = 0;
  double standard_error = 0;  ///< standard error of the mean; 0 for a single number
};
/// Mean and standard error of the numbers that are not NaN; NaN if there are none.
Estimate estimate(std::span<const double> numbers);

/// Effect of one kind of noise, per repetition.
struct NoiseEffect {
  NoiseKind kind = NoiseKind::kSpans;
  std::vector<NoisedPrompt> prompts = {};  ///< [R]
  std::vector<int32_t> masked = {};  ///< [R] number of prompt tokens that were removed or masked
  /// [R] log-probability of the continuation, in nats, summed over its tokens
  std::vector<double> log_probs = {};
  std::vector<double> ranks = {};  ///< [R] mean rank of the continuation's tokens
  /// [R, L+1] cosine similarity of the residual stream at the prompt's last token, with and without
  /// noise
  std::vector<double> cosines = {};
  /// [R, L+1] linear CKA (Kornblith 2019) of the residual stream over the remaining tokens, each
  /// paired with its own position in the original prompt; NaN for fewer than two tokens.
  std::vector<double> ckas = {};

  // Estimates over the repetitions.
  Estimate log_prob_change = {};  ///< with noise minus without
  Estimate rank = {};
  std::vector<Estimate> cosine = {}, cka = {};  ///< [L+1]
};

struct Noise {
  std::vector<int32_t> ids;           ///< [T] the prompt
  std::vector<int32_t> continuation;  ///< [C]
  bool own_choice = false;            ///< true: the model chose the continuation
  int64_t words = 0, sentences = 0;
  int64_t budget = 0;   ///< tokens to mask or remove
  double log_prob = 0;  ///< log-probability of the continuation after the original prompt, in nats
  /// Mean rank of its tokens; a rank is 1 + the number of tokens with a strictly greater logit.
  double rank = 0;
  std::vector<NoiseEffect> effects = {};  ///< one per requested kind, in that order
  /// Change of the log-probability under kSpans minus that under kScattered, paired by repetition.
  /// Present if both kinds were requested.
  std::optional<Estimate> spans_less_scattered = {};
};

/// Row l of [L+1] is the residual stream after block l, row 0 the input of the first block. Holds
/// the residual streams of one batch and of the original prompt. Throws Error (user) as
/// Model::forward does; for an empty prompt; for options out of range; for a mask tensor of the
/// wrong shape; for a continuation outside the vocabulary; for a noise that would leave an empty
/// prompt; and for a prompt that exceeds the context together with its continuation and inserted
/// masks.
Noise noise(const Model& model, std::span<const int32_t> prompt, const NoiseOptions& options = {});

}  // namespace vitrine
