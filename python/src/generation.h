// SPDX-License-Identifier: MIT
#pragma once

#include "python/src/parameters.h"
#include "vitrine/generate.h"

// What generate(), beam_search() and rankings() share.

namespace vitrine::python {

struct GenerationValues {
  Batch prompts;
  GenerateOptions generation;

  const std::vector<int32_t>& prompt() const { return prompts.front(); }
};

template <typename Values>
void add_prompt(Parameters<Values>& parameters) {
  parameters
      .add({"prompt", "vitrine.types.Prompt", ""},
           [](Call& call, Values& v, const nb::object& given) {
             v.prompts = {ids_of(call.model(), given)};
           })
      .value("max_new_tokens", at(&Values::generation, &GenerateOptions::max_new_tokens));
}

/// For complete().
template <typename Values>
void add_sampling(Parameters<Values>& parameters) {
  const auto sampling = at(&Values::generation, &GenerateOptions::sampling);
  parameters.keywords()
      .value("temperature", at(sampling, &SamplingOptions::temperature))
      .value("top_k", at(sampling, &SamplingOptions::top_k))
      .value("top_p", at(sampling, &SamplingOptions::top_p))
      .value("min_p", at(sampling, &SamplingOptions::min_p))
      .value("typical_p", at(sampling, &SamplingOptions::typical_p))
      .value("seed", at(sampling, &SamplingOptions::seed));
}

/// For complete().
template <typename Values>
void add_penalties(Parameters<Values>& parameters) {
  const auto sampling = at(&Values::generation, &GenerateOptions::sampling);
  parameters.value("repetition_penalty", at(sampling, &SamplingOptions::repetition_penalty))
      .value("presence_penalty", at(sampling, &SamplingOptions::presence_penalty))
      .value("frequency_penalty", at(sampling, &SamplingOptions::frequency_penalty))
      .value("min_new_tokens", at(&Values::generation, &GenerateOptions::min_new_tokens))
      .value("min_length", at(&Values::generation, &GenerateOptions::min_length))
      .tokens("stop", at(&Values::generation, &GenerateOptions::stop_ids))
      .value("stop_strings", at(&Values::generation, &GenerateOptions::stop_strings))
      .add({"bad_words", "collections.abc.Sequence[vitrine.types.Prompt]", "()", true},
           [](Call& call, Values& v, const nb::object& given) {
             v.generation.bad_words = continuations_of(call.model(), given);
           });
}

/// Sequence i has seed + i; without stop= the model's own end ends a text. Throws Error (user) for
/// an argument of sampling without a temperature above 0.
void complete(GenerationValues& values, const Call& call);

}  // namespace vitrine::python
