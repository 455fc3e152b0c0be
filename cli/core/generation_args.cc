// SPDX-License-Identifier: MIT
#include "cli/core/generation_args.h"

namespace vitrine::cli {

namespace {

void add_penalties(Command& command, SamplingOptions& sampling, const std::string& group,
                   const std::string& count) {
  const auto add = [&](const char* name, float& value, const char* text) {
    Option option =
        command.add_option(name, value, text)->capture_default_str()->type_name("X")->group(group);
    if (!count.empty()) option.only_with(count);
  };
  add("--repetition-penalty", sampling.repetition_penalty,
      "Divide logits above 0 and multiply others by X, of tokens in the prompt or generated; 1: "
      "none");
  add("--presence-penalty", sampling.presence_penalty,
      "Subtract X from logits of tokens generated before");
  add("--frequency-penalty", sampling.frequency_penalty,
      "Subtract X times how often each token was generated before");
}

}  // namespace

void add_sampling_options(Command& command, SamplingOptions& sampling, const std::string& group,
                          const std::string& count) {
  Option temperature =
      command.add_option("--temperature", sampling.temperature, "Sampling temperature; 0: greedy")
          ->capture_default_str()
          ->type_name("T")
          ->group(group);
  if (!count.empty()) temperature.only_with(count);
  command.add_option("--top-k", sampling.top_k, "Sample from the K most likely tokens; 0: all")
      ->capture_default_str()
      ->type_name("K")
      ->group(group)
      ->only_with("--temperature", {kAboveZero});
  command
      .add_option("--top-p", sampling.top_p,
                  "Sample from the smallest set of tokens whose probability reaches P, 0..1")
      ->capture_default_str()
      ->type_name("P")
      ->group(group)
      ->only_with("--temperature", {kAboveZero});
  command
      .add_option("--min-p", sampling.min_p,
                  "Sample from tokens at least P times as probable as the best, 0..1")
      ->capture_default_str()
      ->type_name("P")
      ->group(group)
      ->only_with("--temperature", {kAboveZero});
  command
      .add_option("--typical-p", sampling.typical_p,
                  "Sample from tokens whose surprisal is closest to the entropy, until their "
                  "probability reaches P, 0..1")
      ->capture_default_str()
      ->type_name("P")
      ->group(group)
      ->only_with("--temperature", {kAboveZero});
  add_penalties(command, sampling, group, count);
}

GenerateOptions generation_of(int tokens, const SamplingOptions& sampling, const Model& model) {
  return {.max_new_tokens = tokens, .sampling = sampling, .stop_ids = model.end_ids()};
}

}  // namespace vitrine::cli
