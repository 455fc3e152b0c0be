// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli/core/tokens.h"
#include "vitrine/analysis/saliency.h"

namespace vitrine::cli {
using namespace internal;

/// The options of `vitrine saliency` that choose what is computed.
struct SaliencyArgs {
  std::string method = "grad-x-input", of = "logit", rule = "gauss-legendre", baseline = "zero",
              mask = "mean";
  std::string target, contrast, continuation, continuation_ids, contrast_text, contrast_text_ids;
  int target_id = -1, contrast_id = -1, generate = 0;
  int steps = 50, samples = 25, draws = 50;
  double noise = 0.1, budget = 0.15;
  uint64_t seed = 0;
  bool norm = false;
  std::vector<std::string> edits;
};

/// zero, mean, delete, token:TEXT, id:N, or a file of a tensor. Throws Error (user).
Replacement parse_replacement(const std::string& text, const Model& model);

void add_saliency_options(Command& command, SaliencyArgs& args);

/// Throws Error (user) for tokens that are not one, and files that are no tensor.
SaliencyOptions saliency_options(const SaliencyArgs& args, const Model& model);

/// What was computed, in words: "integrated-gradients of the logit, 50 gauss-legendre steps from
/// zero".
std::string describe(const SaliencyArgs& args, const Names& names, const SaliencyOptions& options);

/// The settings of the method that was used, for JSON: {"rule": ..., "steps": ..., "baseline":
/// ...}.
JsonValue settings_json(const SaliencyArgs& args);

}  // namespace vitrine::cli
