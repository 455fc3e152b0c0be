// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Concept directions: the difference between the mean activations of two sets of texts, as one
// vector. Adding it during a generation steers the model (see add() in hooks.h); projecting it out
// removes the concept (see project_out()).

enum class ConceptPooling : uint8_t {
  kLast,  ///< activation at the last token of a text
  kMean,  ///< mean over the tokens of a text
};

/// "last" or "mean".
std::string_view concept_pooling_name(ConceptPooling pooling);
/// Inverse of concept_pooling_name(). Throws Error (user) that lists both names.
ConceptPooling concept_pooling_from_name(std::string_view name);

struct ConceptOptions {
  /// Pattern (see Hooks) of sites with one row per token. One direction is computed per matching
  /// site.
  std::string site = "blocks.*.hook_resid_post";
  Where where = {};  ///< selects layers, heads and neurons
  ConceptPooling pooling = ConceptPooling::kLast;
  int64_t batch_tokens = 512;  ///< maximum tokens per forward pass
  Hooks edits = {};            ///< edits applied during the run; captures are ignored
  /// Optional progress callback (counts tokens); null disables reporting.
  Progress* progress = nullptr;
};

/// Direction at one site, and how well it separates held-out texts.
struct ConceptDirection {
  std::string site;  ///< "blocks.3.hook_resid_post"
  /// [W] mean of the positive texts minus mean of the negative texts
  std::vector<double> direction;
  double norm = 0;  ///< Euclidean length of `direction`
  /// Root mean square of the activation lengths of all texts, for comparison with `norm`.
  double activation_norm = 0;

  // Each text is held out once, together with the text of the same index in the other set (pairs
  // share everything but the concept). Means and direction come from all other texts. The score of
  // a held-out text is its coordinate along that direction, measured from the midpoint of the
  // means: (x - (m+ + m-) / 2) . d / |d|. It is NaN if the two means are equal. The results below
  // are computed from these scores.
  std::vector<double> positive_scores, negative_scores;  ///< in the order of the texts
  /// Difference of the mean scores / their pooled standard deviation, sqrt((SS+ + SS-) / (n+ + n- -
  /// 2)).
  double cohens_d = 0;
  double auc = 0;  ///< share of pairs whose positive text scores higher; a tie counts 0.5
  /// Share of texts on the correct side of the midpoint, mean of the two sets.
  double accuracy = 0;
};

/// Throws Error (user) as Model::forward does; for fewer than two texts in a set; for a site
/// without rows per token, such as a map; and for a selection of positions or sequences, which
/// `pooling` determines.
std::vector<ConceptDirection> concept_directions(const Model& model, const Batch& positive,
                                                 const Batch& negative,
                                                 const ConceptOptions& options = {});

}  // namespace vitrine
