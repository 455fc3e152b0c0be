// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "vitrine/analysis/ablation.h"
#include "vitrine/analysis/attention.h"
#include "vitrine/analysis/attribution.h"
#include "vitrine/analysis/causal_trace.h"
#include "vitrine/analysis/concepts.h"
#include "vitrine/analysis/covariance.h"
#include "vitrine/analysis/factors.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/noise.h"
#include "vitrine/analysis/patching.h"
#include "vitrine/analysis/path_patching.h"
#include "vitrine/analysis/predictivity.h"
#include "vitrine/analysis/saliency.h"
#include "vitrine/analysis/score.h"
#include "vitrine/analysis/similarity.h"
#include "vitrine/config.h"
#include "vitrine/model.h"
#include "vitrine/tokenizer.h"

namespace vitrine {

// Results as pages: each function returns one whole HTML file that opens from disk, loads nothing,
// and holds every number of the result (activations of the model itself are not in it). Bytes
// depend on the arguments alone: no date, no machine. Write them wherever you like.
//
// Numbers are float32 in a page: seven digits.

/// Where a result comes from. A page needs it for the texts of tokens, and says it at its foot.
struct PageSource {
  std::string model, device, dtype;  ///< empty where there was no model: a matrix from a file
  Config config = {};
  std::shared_ptr<const Tokenizer> tokenizer = {};  ///< null: tokens are shown as #id
  std::string command =
      {};  ///< the command line that makes this page again, as a shell reads it; empty: not said

  static PageSource of(const Model& model, std::string command = "");
};

/// What an experiment by patching was about: patch(), ablate(), causal_trace() and path_patch()
/// leave it to their caller.
struct PatchSubject {
  std::vector<int32_t> clean;    ///< the prompt
  std::vector<int32_t> corrupt;  ///< the other one; empty where there is none
  PatchMetric metric = {};
  std::vector<int32_t> base;  ///< the prompt whose positions are columns
  std::string note = {};      ///< one line of text: which way, which noise
};

/// What is known of one text's attention; what is null is not shown. Without maps, rollout and flow
/// there is no text.
struct AttentionViews {
  const AttentionMaps* maps = nullptr;
  const AttentionRelevance* rollout = nullptr;
  const AttentionRelevance* flow = nullptr;
  const HeadStatistics* statistics = nullptr;
  const RepetitionScores* repetition = nullptr;  ///< of random tokens, whatever the text
};

/// What a direction was found with: concept_directions() leaves it to its caller.
struct ConceptSubject {
  Batch positive, negative;  ///< the prompts, in the order of the scores
  ConceptPooling pooling = ConceptPooling::kLast;
  std::string note = {};  ///< one line of text: how the sites were narrowed
  /// [results] the command line that adds each direction during a generation; empty: not shown.
  std::vector<std::string> steering = {};
};

/// A covariance matrix, and what it was computed from as far as that is still there.
struct CovarianceView {
  const Covariance* covariance = nullptr;
  std::string title = {};               ///< a file, a site, a pattern; may be empty
  std::vector<std::string> names = {};  ///< [variables]; empty: their numbers
  /// [variables, observations] a row for each variable, to be shown behind each cell. Empty (a pass
  /// over a corpus keeps none): not shown.
  MatrixView series = {};
  std::span<const double> weights = {};  ///< [observations] fweights * aweights; empty: 1 each
  const PrincipalComponents* components = nullptr;  ///< null: not shown
  bool correlations =
      false;  ///< whether the page begins with the correlations rather than the covariances
};

// Several results (of several prompts) make one page with a choice between them; there must be one
// at least, or Error (user).

/// Layers by positions: likeliest tokens, ranks, probabilities, entropy; the way of a rank through
/// the layers; watched tokens.
std::string lens_page(std::span<const Lens> results, const PageSource& source);
/// The text, coloured by how much each token matters for each next token.
std::string saliency_page(std::span<const Saliency> results, const PageSource& source);
/// A logit as a sum over components.
std::string attribution_page(std::span<const LogitAttribution> results, const PageSource& source);
/// Layers by positions, heads or neurons.
std::string patching_page(const Patching& result, const PatchSubject& subject,
                          const PageSource& source);
std::string ablation_page(const Ablations& result, const PatchSubject& subject,
                          const PageSource& source);
std::string trace_page(const Trace& result, const PatchSubject& subject, const PageSource& source);
/// Senders as layers by heads and MLP.
std::string path_page(const PathPatching& result, const PatchSubject& subject,
                      const PageSource& source);

/// A layer's maps as thumbnails, one of them large; rollout and flow over the text; what each head
/// does by habit, layers by heads. Throws Error (user) for a view of nothing, of different texts,
/// and for maps of more than 6 million numbers (Q x T / 2 a head, about): narrow them.
std::string attention_page(std::span<const AttentionViews> results, const PageSource& source);
/// The matrix, and behind each cell the two series with their means: how their deviations' products
/// add up to it. Of more than 2,000 observations, or a million numbers, the page holds an even
/// selection and says so; the matrix is whole. Throws Error (user) for a series or names that do
/// not fit their matrix, and for more than 4 million cells (2,048 variables).
std::string covariance_page(std::span<const CovarianceView> results, const PageSource& source);
/// Score by layer with its interval, the untrained control and the ceiling; subjects and neuroids
/// of a layer.
std::string predictivity_page(const Predictivity& result, const PageSource& source);
/// The texts, coloured by how strong a component is at each token; its strongest neurons (50 of
/// each component are in the page).
std::string factors_page(const Factors& result, const PageSource& source);
/// What each kind of noise does, repetition by repetition; spans against scattered tokens; how far
/// the layers are from their own. Holds the numbers of all repetitions, and the texts of the first
/// 200 of each kind.
std::string noise_page(std::span<const Noise> results, const PageSource& source);
/// How well directions separate their prompts, site by site; at one site each held-out prompt's
/// place along the direction, the largest elements (50 are in the page), and the cosines between
/// directions of different sites where both are of the residual stream's basis. Throws Error (user)
/// for scores that are not of these prompts, and for prompts of more than 2 million tokens
/// together.
std::string concept_page(std::span<const ConceptDirection> results, const ConceptSubject& subject,
                         const PageSource& source);
/// Sites by sites. `against`: the name of the model whose sites are columns; empty: the same
/// model's.
std::string similarity_page(const Similarity& result, const PageSource& source,
                            const std::string& against = "");
/// Texts coloured by the surprisal of each token. Throws Error (user) for more than 2 million
/// tokens together.
std::string score_page(std::span<const Score> results, const PageSource& source);
/// The same with the surprisal of each word.
std::string word_score_page(std::span<const WordScores> results, const PageSource& source);
/// A generation token by token: which layer had ranked each token how high when it was chosen.
/// `results` as rankings() gives them.
std::string rankings_page(std::span<const Lens> results, const PageSource& source);

}  // namespace vitrine
