// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/core/output_files.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/ablation.h"
#include "vitrine/analysis/causal_trace.h"
#include "vitrine/analysis/pairs.h"
#include "vitrine/analysis/patching.h"
#include "vitrine/analysis/path_patching.h"

namespace vitrine::cli {
using namespace internal;

/// The options of `vitrine patch`.
struct PatchArgs {
  std::string clean, clean_ids, corrupt, corrupt_ids;
  std::string answer, wrong, metric, sweep, over, align;
  std::string layers, positions, heads, neurons, pairs;
  std::string ablate, others_file, trace, trace_positions, receivers, senders;
  std::vector<std::string> others, edits;
  int answer_id = -1, wrong_id = -1, window = 1, draws = 10;
  int64_t position = -1;
  size_t top = 12;
  double noise = 3.0;
  uint64_t seed = 0;
  ResultArgs output;
  bool noising = false, attribution = false, compare = false, through_mlps = false;

  /// The requested mode of the command.
  enum class Mode { kPatch, kAblate, kTrace, kPaths };
  Mode mode() const;
};

void add_patch_options(Command& command, PatchArgs& args);

/// What all four read: prompts, the metric with its tokens, the cells, and edits of all passes.
struct PatchRequest {
  Prompt clean, corrupt;         ///< corrupt: without ids where the mode has none
  std::vector<PatchPair> pairs;  ///< instead of the two
  PatchMetric metric;            ///< with pairs without answers
  PatchCells cells;
  Hooks edits;
};

/// Throws Error (user) for options that do not go together, tokens that are not one, and sites that
/// there are not. The default answer is the model's top-ranked token after the clean prompt.
PatchRequest patch_request(const PatchArgs& args, const Model& model);

PatchOptions patch_options(const PatchArgs& args, const PatchRequest& request);
AblationOptions ablation_options(const PatchArgs& args, const PatchRequest& request,
                                 const Model& model);
TraceOptions trace_options(const PatchArgs& args, const PatchRequest& request, const Model& model);
PathOptions path_options(const PatchArgs& args, const PatchRequest& request);

}  // namespace vitrine::cli
