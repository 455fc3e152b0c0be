// SPDX-License-Identifier: MIT
#include "cli/core/generation_args.h"

namespace vitrine::cli {

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
}

GenerateOptions generation_of(int tokens, const SamplingOptions& sampling, const Model& model) {
  return {.max_new_tokens = tokens, .sampling = sampling, .stop_ids = model.end_ids()};
}

}  // namespace vitrine::cli
