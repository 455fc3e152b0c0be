#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Next-token score: loss_t = -log p(x_t | x_<t).

/// A text longer than the context is scored by a window that slides over it. The k-th window feeds the model tokens
/// k * stride .. k * stride + window - 1 and scores those of their successors that no window before it has scored: the first
/// scores `window` tokens, each later one `stride`. So every token but the text's first is scored once, with no less than
/// window - stride + 1 tokens before it (the first window's excepted), and each score says how many there were.
/// A smaller stride gives more context and costs more: about window / stride times the work.
struct ScoreOptions {
  int64_t window = 0;  ///< tokens the model sees at once, 1..context; 0: the context
  int64_t stride = 0;  ///< 1..window; 0: half of the window, rounded up
  /// Puts this id before the text, once, so that the text's first token is scored as well. For GPT-2 it is the end-of-text
  /// token (Tokenizer::end_of_text), which in training stood before every document. Negative: nothing.
  int32_t prepend = -1;
  /// Changes to the model while it scores. Only the edits are used; positions count within a window. An edit of `logits` is
  /// not seen.
  Hooks edits = {};
  Progress* progress = nullptr;  ///< counts tokens; null: nobody wants to know
};

struct TokenScore {
  int64_t position = 0;   ///< of the token in the text
  int32_t id = 0;
  int64_t context = 0;    ///< tokens before it that the model saw, the prepended one included
  double loss = 0;        ///< -log p(token | context), in nats
  double entropy = 0;     ///< of the model's distribution there, in nats
  int32_t rank = 0;       ///< 1 + the number of tokens thought strictly likelier
  int32_t top_id = 0;     ///< the token that the model thought likeliest
  double top_loss = 0;    ///< -log p of that one, in nats
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
/// Throws Error (user) for an empty text, one of a single token with nothing prepended, an id outside the vocabulary, and a
/// window or stride outside its range.
Score score(const Model& model, std::span<const int32_t> ids, const ScoreOptions& options = {});

}  // namespace vitrine
