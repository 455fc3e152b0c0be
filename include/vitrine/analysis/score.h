// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Next-token scores: loss_t = -log p(x_t | x_<t).

/// A text longer than the context is scored with a sliding window. Window k reads tokens k * stride
/// .. k * stride + window - 1 and scores those next tokens that no earlier window scored: the first
/// window scores `window` tokens, each later one `stride`. Every token except the text's first is
/// scored once, with at least window - stride + 1 preceding tokens (except in the first window),
/// and each score reports their number. A smaller stride gives more context and costs about window
/// / stride times the work.
struct ScoreOptions {
  int64_t window = 0;  ///< tokens per window, 1..context; 0: the context
  int64_t stride = 0;  ///< tokens between windows, 1..window; 0: half the window, rounded up
  /// Token id placed before the text, once, so that the first token is scored as well. GPT-2 was
  /// trained with the end-of-text token (Tokenizer::end_of_text) before every document. Negative:
  /// none.
  int32_t prepend = -1;
  /// Edits applied during the run; captures are ignored. Positions count within a window. Edits of
  /// `logits` have no effect.
  Hooks edits = {};
  /// Optional progress callback (counts tokens); null disables reporting.
  Progress* progress = nullptr;
};

struct TokenScore {
  int64_t position = 0;  ///< position of the token in the text
  int32_t id = 0;
  int64_t context = 0;  ///< number of preceding tokens in the window, including the prepended one
  double loss = 0;      ///< -log p(token | context), in nats
  double entropy = 0;   ///< entropy of the model's distribution at this position, in nats
  int32_t rank = 0;     ///< 1 + the number of tokens with a strictly greater logit
  int32_t top_id = 0;   ///< most likely token
  double top_loss = 0;  ///< -log p of that token, in nats
};

struct Score {
  int64_t window = 0, stride = 0;  ///< the values that were used
  int32_t prepend = -1;
  /// The text's first token, which has no score unless a token is prepended.
  std::optional<int32_t> first = {};
  std::vector<TokenScore> tokens;  ///< in the order of the text

  double total_nats() const;  ///< sum of the losses
  double mean_nats() const;   ///< total / tokens; NaN if no token was scored
  double mean_bits() const;   ///< mean_nats / ln 2
  double perplexity() const;  ///< exp(mean_nats)
};

/// Scores a text of any length. Besides the result it holds the activations of one window, never
/// [T, V]. Throws Error (user) for an empty text, a text of one token without a prepended token, an
/// id outside the vocabulary, and a window or stride out of range.
Score score(const Model& model, std::span<const int32_t> ids, const ScoreOptions& options = {});

// Words as in reading-time studies: text between white space, with punctuation attached ("table.",
// "don't").

/// Assignment of the boundary between two words. GPT-2's tokens include the space before a word, so
/// the sum over a word's tokens is -log p(space and word, with any continuation): it includes the
/// end of the previous word and not the end of this word.
enum class WordBoundary : uint8_t {
  kLeading,  ///< plain sum over the tokens; includes the boundary before the word
  /// Includes the boundary after the word instead (Oh & Schuler 2024, "Leading whitespaces of
  /// language models' subword vocabulary pose a confound for calculating word probabilities";
  /// Pimentel & Meister 2024, "How to compute the probability of a word", theorem 2):
  ///   plain sum - log B(after the word) + log B(before it),
  /// where B(context) is the probability that the next token begins with white space or ends the
  /// text. Before a text's first word without leading white space, B is the probability of all
  /// other tokens. The sums over a whole text differ only by the terms at both ends.
  kTrailing,
};

/// "leading", "trailing".
std::string_view word_boundary_name(WordBoundary boundary);
/// Inverse of word_boundary_name(). Throws Error (user) that lists both names.
WordBoundary word_boundary_from_name(std::string_view name);

struct WordScore {
  std::string text;           ///< without white space
  size_t begin = 0, end = 0;  ///< byte range [begin, end) in the text
  /// Token range: positions first .. first + tokens - 1, including white space before the word.
  int64_t first = 0, tokens = 0;
  /// -log p of the word in nats, with the requested boundary. NaN if one of its tokens has no
  /// score: the text's first token without a prepended token.
  double surprisal = std::numeric_limits<double>::quiet_NaN();
  int64_t context = 0;  ///< number of tokens before its first token in the window
  /// true: a token of this word extends into another word. The token belongs to the first word that
  /// it overlaps; a word without a token of its own has surprisal 0.
  bool shares_token = false;
};

struct WordScores {
  WordBoundary boundary = WordBoundary::kLeading;
  Score tokens;  ///< token scores that the words sum
  std::vector<WordScore> words;
  double white_space_end = 0;  ///< nats of the tokens after the last word

  double total_nats() const;  ///< sum over the words with a surprisal
  int64_t scored() const;     ///< number of words with a surprisal
  double mean_nats() const;   ///< mean over those words; NaN if there are none
};

/// Scores a text word by word; `special` as in Tokenizer::encode. Throws Error (user) as score()
/// does, for a model without a tokenizer, and for a text without words.
WordScores score_words(const Model& model, std::string_view text, WordBoundary boundary,
                       const ScoreOptions& options = {},
                       Tokenizer::Special special = Tokenizer::Special::kText);

// Training windows: input and target sequences cut from a text.

/// `window` tokens, each with its next token as target.
struct TrainingWindow {
  int64_t begin = 0;                 ///< position of the first input in the text
  std::span<const int32_t> inputs;   ///< ids begin .. begin + window - 1
  std::span<const int32_t> targets;  ///< ids begin + 1 .. begin + window
};

/// Cuts a text into (input, target) pairs with a sliding window. Window k begins at k * stride. All
/// windows are full; tokens after the last full window are dropped, as in common training code. The
/// spans refer to `ids`, which must outlive them. Throws Error (user) for a window or stride below
/// 1, and for a text shorter than window + 1 tokens.
std::vector<TrainingWindow> training_windows(std::span<const int32_t> ids, int64_t window,
                                             int64_t stride);

}  // namespace vitrine
