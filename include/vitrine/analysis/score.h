// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Next-token score: loss_t = -log p(x_t | x_<t).

/// A text longer than the context is scored by a window that slides over it. The k-th window feeds
/// the model tokens k * stride .. k * stride + window - 1 and scores those of their successors that
/// no window before it has scored: the first scores `window` tokens, each later one `stride`. So
/// every token but the text's first is scored once, with no less than window - stride + 1 tokens
/// before it (the first window's excepted), and each score says how many there were. A smaller
/// stride gives more context and costs more: about window / stride times the work.
struct ScoreOptions {
  int64_t window = 0;  ///< tokens the model sees at once, 1..context; 0: the context
  int64_t stride = 0;  ///< 1..window; 0: half of the window, rounded up
  /// Puts this id before the text, once, so that the text's first token is scored as well. For
  /// GPT-2 it is the end-of-text token (Tokenizer::end_of_text), which in training stood before
  /// every document. Negative: nothing.
  int32_t prepend = -1;
  /// Changes to the model while it scores. Only the edits are used; positions count within a
  /// window. An edit of `logits` is not seen.
  Hooks edits = {};
  Progress* progress = nullptr;  ///< counts tokens; null: nobody wants to know
};

struct TokenScore {
  int64_t position = 0;  ///< of the token in the text
  int32_t id = 0;
  int64_t context = 0;  ///< tokens before it that the model saw, the prepended one included
  double loss = 0;      ///< -log p(token | context), in nats
  double entropy = 0;   ///< of the model's distribution there, in nats
  int32_t rank = 0;     ///< 1 + the number of tokens thought strictly likelier
  int32_t top_id = 0;   ///< the token that the model thought likeliest
  double top_loss = 0;  ///< -log p of that one, in nats
};

struct Score {
  int64_t window = 0, stride = 0;  ///< as used
  int32_t prepend = -1;
  std::vector<TokenScore> tokens;  ///< in the order of the text

  double total_nats() const;  ///< sum of the losses
  double mean_nats() const;   ///< total / tokens; NaN where nothing was scored
  double mean_bits() const;   ///< mean_nats / ln 2
  double perplexity() const;  ///< exp(mean_nats)
};

/// Scores a text of any length. Beyond the result it holds one window's activations: never [T, V].
/// Throws Error (user) for an empty text, one of a single token with nothing prepended, an id
/// outside the vocabulary, and a window or stride outside its range.
Score score(const Model& model, std::span<const int32_t> ids, const ScoreOptions& options = {});

// Words, as reading-time studies have them: what stands between white space, punctuation attached
// ("table.", "don't").

/// To which word the boundary between two words belongs. GPT-2's tokens carry the space before a
/// word, so that the sum over a word's tokens is -log p(space and word, however it goes on): it
/// includes where the last word ended, and not where this one does.
enum class WordBoundary : uint8_t {
  kLeading,  ///< the plain sum over the tokens: the boundary before the word counts
  /// The boundary after the word counts instead (Oh & Schuler 2024, "Leading whitespaces of
  /// language models' subword vocabulary pose a confound for calculating word probabilities";
  /// Pimentel & Meister 2024, "How to compute the probability of a word", theorem 2):
  ///   plain sum - log B(after the word) + log B(before it),
  /// B(context) being the probability that the next token begins with white space or ends the text.
  /// Before a text's first word that has no white space before it, B is the probability of all
  /// other tokens. Summed over a text the two differ by the ends alone.
  kTrailing,
};

/// "leading" or "trailing".
std::string_view word_boundary_name(WordBoundary boundary);
/// The inverse. Throws Error (user) naming both words.
WordBoundary word_boundary_from_name(std::string_view name);

struct WordScore {
  std::string text;               ///< without white space
  size_t begin = 0, end = 0;      ///< its bytes [begin, end) of the text
  int64_t first = 0, tokens = 0;  ///< its tokens: positions first .. first + tokens - 1. White
                                  ///< space before a word is the word's
  /// -log p of the word in nats, by the boundary asked for. NaN where a token of it has no score:
  /// the text's first without anything prepended.
  double surprisal = std::numeric_limits<double>::quiet_NaN();
  int64_t context = 0;  ///< tokens before its first one that the model saw
  /// A token of this word reaches into another one. The token counts in the first word that it
  /// touches; a word without a token of its own has a surprisal of 0.
  bool shares_token = false;
};

struct WordScores {
  WordBoundary boundary = WordBoundary::kLeading;
  Score tokens;  ///< what the words were summed from
  std::vector<WordScore> words;
  double white_space_end = 0;  ///< nats of tokens behind the last word, which are no word's

  double total_nats() const;  ///< sum over the words that have a surprisal
  int64_t scored() const;     ///< how many have one
  double mean_nats() const;   ///< of those; NaN where there is none
};

/// Scores a text word by word; `special` as in Tokenizer::encode. Throws Error (user) as score()
/// does, for a model without a tokenizer and a text without a word.
WordScores score_words(const Model& model, std::string_view text, WordBoundary boundary,
                       const ScoreOptions& options = {},
                       Tokenizer::Special special = Tokenizer::Special::kText);

// Training windows: what a model is shown of a text, as input and target.

/// `window` tokens and for each the one that follows it.
struct TrainingWindow {
  int64_t begin = 0;                 ///< of the first input in the text
  std::span<const int32_t> inputs;   ///< ids begin .. begin + window - 1
  std::span<const int32_t> targets;  ///< ids begin + 1 .. begin + window
};

/// The (input, target) pairs that a window slid over a text gives: window k begins at k * stride,
/// as long as its last target is still in the text, so all are full; what is left behind the last
/// is left out, as in the usual training code. They look into `ids`, which must outlive them.
/// Throws Error (user) for a window or stride below 1, and for a text too short for one window.
std::vector<TrainingWindow> training_windows(std::span<const int32_t> ids, int64_t window,
                                             int64_t stride);

}  // namespace vitrine
