// SPDX-License-Identifier: MIT
#include "engine/generate_options.h"

#include <algorithm>
#include <cmath>
#include <string_view>

#include "base/check.h"

namespace vitrine {

std::string_view stop_reason_name(StopReason reason) {
  switch (reason) {
    case StopReason::kLength:
      return "length";
    case StopReason::kStopId:
      return "stop";
    case StopReason::kStopString:
      return "stop_string";
    case StopReason::kContext:
      return "context";
    case StopReason::kCallback:
      return "callback";
  }
  return "";
}

}  // namespace vitrine

namespace vitrine::internal {
namespace {

void check_sampling(const SamplingOptions& s, size_t sequences) {
  if (!(s.temperature >= 0) || !std::isfinite(s.temperature))
    user_error("temperature {} is out of range: expected 0 (greedy) or more", s.temperature);
  if (s.top_k < 0) user_error("top_k {} is out of range: expected 0 (all tokens) or more", s.top_k);
  if (!(s.top_p > 0 && s.top_p <= 1))
    user_error("top_p {} is out of range: expected > 0 and <= 1 (all tokens)", s.top_p);
  if (!(s.min_p >= 0 && s.min_p <= 1))
    user_error("min_p {} is out of range: expected 0 (all tokens) to 1", s.min_p);
  if (!(s.typical_p > 0 && s.typical_p <= 1))
    user_error("typical_p {} is out of range: expected > 0 and <= 1 (all tokens)", s.typical_p);
  if (!(s.repetition_penalty > 0) || !std::isfinite(s.repetition_penalty))
    user_error("repetition_penalty {} is out of range: expected above 0; 1: none",
               s.repetition_penalty);
  for (const auto& [name, value] : {std::pair("presence_penalty", s.presence_penalty),
                                    std::pair("frequency_penalty", s.frequency_penalty)}) {
    if (!std::isfinite(value))
      user_error("{} {} is out of range: expected a finite number", name, value);
  }
  if (!s.seeds.empty() && s.seeds.size() != sequences)
    user_error("{} seeds for {} sequences: expected one per sequence, or a single seed",
               s.seeds.size(), sequences);
}

void check_id(std::string_view what, int32_t id, const Config& config) {
  if (id < 0 || id >= config.vocab)
    user_error("{} {} is out of range: expected 0..{}", what, id, config.vocab - 1);
}

void check_min_length(const GenerateOptions& options, const Batch& prompts) {
  if (options.min_length < 0)
    user_error("min_length {} is out of range: expected 0 or more", options.min_length);
  if (options.min_length > 0 && options.min_new_tokens > 0)
    user_error("both `min_length` {} and `min_new_tokens` {}: expected at most one",
               options.min_length, options.min_new_tokens);
  for (size_t s = 0; options.min_length > 0 && s < prompts.size(); ++s) {
    const int64_t most = std::ssize(prompts[s]) + options.max_new_tokens;
    if (options.min_length > most)
      user_error("min_length {} is out of range: expected 0..{}, prompt {} with all new tokens",
                 options.min_length, most, s);
  }
}

}  // namespace

void check_room(const GenerateOptions& options, const Batch& prompts, const Config& config) {
  if (options.past_context != PastContext::kReject) return;
  for (size_t s = 0; s < prompts.size(); ++s) {
    const auto length = std::ssize(prompts[s]);
    const int64_t room = config.context - length + 1;  // no pass reads the last token
    if (options.max_new_tokens > room)
      user_error(
          "the {} tokens of prompt {} and {} new ones exceed the context of {}: expected at most "
          "{} new tokens, or use `past_context` slide",
          length, s, options.max_new_tokens, config.context, room);
  }
}

void check_generate_options(const GenerateOptions& options, const Batch& prompts,
                            const Config& config) {
  if (options.max_new_tokens < 0)
    user_error("max_new_tokens {} is out of range: expected 0 or more", options.max_new_tokens);
  if (options.min_new_tokens < 0 || options.min_new_tokens > options.max_new_tokens)
    user_error("min_new_tokens {} is out of range: expected 0..{} (max_new_tokens)",
               options.min_new_tokens, options.max_new_tokens);
  check_min_length(options, prompts);
  if (options.log_probabilities.value_or(0) < 0)
    user_error("log_probabilities {} is out of range: expected 0 (of the new token alone) or more",
               *options.log_probabilities);
  check_sampling(options.sampling, prompts.size());
  for (const int32_t id : options.stop_ids) check_id("stop id", id, config);
  for (size_t i = 0; i < options.stop_strings.size(); ++i) {
    if (options.stop_strings[i].empty())
      user_error("stop string {} is empty: expected at least one character", i);
  }
  for (size_t i = 0; i < options.bad_words.size(); ++i) {
    const std::vector<int32_t>& word = options.bad_words[i];
    if (word.empty()) user_error("bad word {} is empty: expected at least one token id", i);
    for (const int32_t id : word) check_id("id in bad_words", id, config);
    if (word.size() == 1 && std::ranges::count(options.stop_ids, word[0]) > 0)
      user_error("bad word {} is the stop id {}: expected another token, or fewer stop ids", i,
                 word[0]);
  }
}

}  // namespace vitrine::internal
