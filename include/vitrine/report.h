#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vitrine/ablation.h"
#include "vitrine/attribution.h"
#include "vitrine/causal_trace.h"
#include "vitrine/config.h"
#include "vitrine/lens.h"
#include "vitrine/model.h"
#include "vitrine/patching.h"
#include "vitrine/path_patching.h"
#include "vitrine/saliency.h"
#include "vitrine/tokenizer.h"

namespace vitrine {

// Results as pages: each function returns one whole HTML file that opens from disk, loads nothing, and holds every number of the
// result (activations of the model itself are not in it). Bytes depend on the arguments alone: no date, no machine. Write
// them wherever you like.
//
// Numbers are float32 in a page: seven digits.

/// Where a result comes from. A page needs it for the texts of tokens, and says it at its foot.
struct PageSource {
  std::string model, device, dtype;
  Config config = {};
  std::shared_ptr<const Tokenizer> tokenizer = {};  ///< null: tokens are shown as #id
  std::string command = {};  ///< the command line that makes this page again, as a shell reads it; empty: not said

  static PageSource of(const Model& model, std::string command = "");
};

/// What an experiment by patching was about: patch(), ablate(), causal_trace() and path_patch() leave it to their caller.
struct PatchSubject {
  std::vector<int32_t> clean;    ///< the prompt
  std::vector<int32_t> corrupt;  ///< the other one; empty where there is none
  PatchMetric metric = {};
  std::vector<int32_t> base;     ///< the prompt whose positions are columns
  std::string note = {};         ///< one line of text: which way, which noise
};

// Several results (of several prompts) make one page with a choice between them; there must be one at least, or Error (user).

/// Layers by positions: likeliest tokens, ranks, probabilities, entropy; the way of a rank through the layers; watched tokens.
std::string lens_page(std::span<const Lens> results, const PageSource& source);
/// The text, coloured by how much each token matters for each next token.
std::string saliency_page(std::span<const Saliency> results, const PageSource& source);
/// A logit as a sum over components.
std::string attribution_page(std::span<const LogitAttribution> results, const PageSource& source);
/// Layers by positions, heads or neurons.
std::string patching_page(const Patching& result, const PatchSubject& subject, const PageSource& source);
std::string ablation_page(const Ablations& result, const PatchSubject& subject, const PageSource& source);
std::string trace_page(const Trace& result, const PatchSubject& subject, const PageSource& source);
/// Senders as layers by heads and MLP.
std::string path_page(const PathPatching& result, const PatchSubject& subject, const PageSource& source);

}  // namespace vitrine
