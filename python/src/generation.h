// SPDX-License-Identifier: MIT
#pragma once

#include "python/src/arguments.h"
#include "python/src/keywords.h"
#include "vitrine/generate.h"

namespace vitrine::python {

/// Throws Error (user) for an argument of sampling without a temperature above 0.
void refuse_unused_sampling(const Keywords& arguments);

/// What generate(), beam_search(), rankings(), saliency() and factors() share. Sequence i of
/// `sequences` has seed + i.
GenerateOptions generate_options(const Model& model, int max_new_tokens, Keywords& arguments,
                                 size_t sequences);

// The same as signatures show them.
#define VITRINE_PENALTY_TYPES                                                                   \
  "repetition_penalty: float = 1.0, presence_penalty: float = 0.0, frequency_penalty: float = " \
  "0.0, min_new_tokens: int = 0, min_length: int = 0, stop: vitrine.types.Tokens | None = "     \
  "None, stop_strings: "                                                                        \
  "collections.abc.Sequence[str] = (), bad_words: "                                             \
  "collections.abc.Sequence[vitrine.types.Prompt] = (), "
#define VITRINE_SAMPLING_TYPES                                                                    \
  "temperature: float = 0.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0, typical_p: " \
  "float = 1.0, seed: int = 0, " VITRINE_PENALTY_TYPES

}  // namespace vitrine::python
