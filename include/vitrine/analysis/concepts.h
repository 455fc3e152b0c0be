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

// Concept directions: what differs between the activations of two sets of texts, as one vector.
// Added during a generation it steers (see add() in hooks.h); projected out, it takes the concept
// away (see project_out()).

enum class ConceptPooling : uint8_t {
  kLast,  ///< a text is its last token's activation
  kMean,  ///< the mean over its tokens
};

/// "last" or "mean".
std::string_view concept_pooling_name(ConceptPooling pooling);
/// The inverse. Throws Error (user) naming both words.
ConceptPooling concept_pooling_from_name(std::string_view name);

struct ConceptOptions {
  /// Sites with a row for each token, a pattern as Hooks has it: a direction is found at each.
  std::string site = "blocks.*.hook_resid_post";
  Where where = {};  ///< narrows layers, heads and neurons
  ConceptPooling pooling = ConceptPooling::kLast;
  int64_t batch_tokens = 512;    ///< tokens that go through the model at once
  Hooks edits = {};              ///< only the edits are used
  Progress* progress = nullptr;  ///< counts tokens; null: nobody wants to know
};

/// The direction at one site, and how well it separates texts that it was not made from.
struct ConceptDirection {
  std::string site;  ///< "blocks.3.hook_resid_post"
  std::vector<double>
      direction;               ///< [W] mean of the positive texts minus mean of the negative ones
  double norm = 0;             ///< its length
  double activation_norm = 0;  ///< root mean square of the lengths of all texts' activations: what
                               ///< to compare `norm` with

  // Each text is held out once, with the text at its place in the other set (pairs share all but
  // the concept); means and direction are of all others, and its score is its place along that
  // direction, counted from the midpoint of the means: (x - (m+ + m-) / 2) . d / |d|. NaN where the
  // others' means are equal. The results below are of these scores.
  std::vector<double> positive_scores, negative_scores;  ///< in the order of the texts
  double cohens_d = 0;  ///< difference of the scores' means / their pooled standard deviation,
                        ///< sqrt((SS+ + SS-) / (n+ + n- - 2))
  double auc = 0;       ///< share of pairs whose positive text scores higher; a tie counts a half
  double accuracy = 0;  ///< share of texts on their own side of the midpoint, mean of the two sets
};

/// Throws Error (user) as Model::forward does; for fewer than two texts in a set, which leave
/// nothing to hold out; for a site without rows, such as a map; and for a narrowing by position or
/// sequence, which pooling decides.
std::vector<ConceptDirection> concept_directions(const Model& model, const Batch& positive,
                                                 const Batch& negative,
                                                 const ConceptOptions& options = {});

}  // namespace vitrine
