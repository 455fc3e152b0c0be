// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/captures.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"

namespace vitrine {

/// Choice of the next token, in Hugging Face's order: penalties; then, unless it is greedy,
/// temperature, top-k, top-p, min-p, typical-p and one draw. Penalties, min_p and typical_p are
/// applied on the host, so that a GPU issues its steps one by one.
struct SamplingOptions {
  float temperature = 0.0f;  ///< 0: greedy
  int top_k = 0;             ///< keep the k most likely tokens; 0: all
  float top_p = 1.0f;  ///< keep the smallest set of tokens whose probability reaches p; 1: all
  float min_p = 0.0f;  ///< keep tokens at least p times as probable as the best; 0: all
  /// Keep tokens whose surprisal is closest to the entropy until their probability reaches p; 1:
  /// all.
  float typical_p = 1.0f;
  /// Divides positive and multiplies negative logits of tokens in the prompt or generated; 1: none.
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;   ///< subtracted from logits of tokens generated before
  float frequency_penalty = 0.0f;  ///< the same, times how often each was generated
  /// Random seed. The samples of a sequence depend only on its seed and the step, not on the batch.
  uint64_t seed = 0;
  /// One seed per sequence, instead of `seed`; empty: `seed` for all.
  std::vector<uint64_t> seeds = {};
};

/// What follows when a sequence fills the context.
enum class PastContext : uint8_t {
  kReject,  ///< a generation whose new tokens the context has no room for is not begun
  kEnd,     ///< it ends, with the reason kContext
  /// Its newest context / 2 tokens are read again, from position 0, as if they were a prompt; what
  /// came before is forgotten by the model. Not with captures.
  kSlide,
};

struct GenerateOptions {
  int max_new_tokens = 32;
  int min_new_tokens = 0;  ///< stop ids cannot be chosen before this number of new tokens
  int min_length = 0;      ///< the same with the prompt's tokens counted; not with min_new_tokens
  SamplingOptions sampling = {};
  /// Token ids that end a sequence; the id is kept as its last token.
  std::vector<int32_t> stop_ids = {};
  /// Texts that end a sequence as soon as its text holds one, which may begin in the prompt and end
  /// inside the newest token. They need the model's tokenizer.
  std::vector<std::string> stop_strings = {};
  /// Token sequences that are never completed, also not one that begins in the prompt. Not with a
  /// sequence of one stop id.
  std::vector<std::vector<int32_t>> bad_words = {};
  PastContext past_context = PastContext::kReject;
  /// Keeps the log-probability of each new token, and this number of the most likely tokens beside
  /// it; nullopt: neither.
  std::optional<int> log_probabilities = {};
  /// Called for each new token when it is sampled; returning false ends the whole generation.
  std::function<bool(int sequence, int32_t id)> on_token = {};
};

enum class StopReason : uint8_t { kLength, kStopId, kStopString, kContext, kCallback };
/// "length", "stop", "stop_string", "context", "callback".
std::string_view stop_reason_name(StopReason reason);

struct Generation {
  struct Sequence {
    std::vector<int32_t> ids;  ///< new tokens, without the prompt
    StopReason reason = StopReason::kLength;
    // With GenerateOptions::log_probabilities, in nats, of the model's own distribution: before
    // penalties, exclusions, temperature and filters.
    std::vector<float> log_probabilities;      ///< [new tokens]
    std::vector<int32_t> top_ids;              ///< [new tokens, K], best first
    std::vector<float> top_log_probabilities;  ///< [new tokens, K]
  };
  std::vector<Sequence> sequences;
  /// Reason why the steps were not replayed from a captured GPU graph; empty if they were.
  std::string eager_because;
  /// Captures over all passes: the prompt's positions, then one position per step.
  std::shared_ptr<const Captures> captures;
};

/// Continues each prompt. Equal prompts are read once, unless hooks capture or tell sequences
/// apart: for n continuations give one n times, with a seed each. Edits apply in every pass, to the
/// prompt and to each new token. Passes read the prompt, then each new token but the last one;
/// negative positions count from the newest token of each pass, so that -1 occurs in every pass and
/// others in the prompt's only. Throws Error (user) as Model::forward does, for a position that
/// never occurs, for options out of range, for more new tokens than the context has room for (the
/// last one needs none, as no pass reads it), for exclusions that leave no token, and for a
/// distribution with a NaN, from which no token can be drawn, naming the site where it first
/// appears.
Generation generate(const Model& model, const Batch& prompts, const GenerateOptions& options = {},
                    const Hooks& hooks = {});
/// The same with hooks that were compiled for this model.
Generation generate(const Model& model, const Batch& prompts, const GenerateOptions& options,
                    const HookPlan& plan);

}  // namespace vitrine
