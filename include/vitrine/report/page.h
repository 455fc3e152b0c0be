// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "vitrine/analysis/concepts.h"
#include "vitrine/analysis/covariance.h"
#include "vitrine/analysis/pairs.h"
#include "vitrine/config.h"
#include "vitrine/model.h"
#include "vitrine/tokenizer.h"

namespace vitrine {

struct Ablations;
struct AttentionMaps;
struct AttentionRelevance;
struct Factors;
struct HeadStatistics;
struct Lens;
struct Noise;
struct Predictivity;
struct RepetitionScores;
struct Saliency;
struct Score;
struct Similarity;
struct Trace;
struct WordScores;

// Results as pages: each function returns one self-contained HTML file, which opens from disk,
// loads no resources, and contains every number of the result (but no activations). The bytes
// depend only on the arguments: they contain no date and no machine name.
//
// Numbers in a page are float32, with seven digits.

/// Origin of a result. A page uses it for the texts of tokens, and shows it in the footer.
struct PageSource {
  /// Empty if no model was used, for example for a matrix from a file.
  std::string model, device, dtype;
  Config config = {};
  std::shared_ptr<const Tokenizer> tokenizer = {};  ///< null: tokens are shown as #id
  std::string command = {};  ///< shell command line that reproduces this page; empty: not shown

  static PageSource of(const Model& model, std::string command = "");
};

/// Description of a patching experiment, which the results of patch(), ablate(), causal_trace() and
/// path_patch() do not contain.
struct PatchSubject {
  std::vector<int32_t> clean = {};    ///< clean prompt; empty for pairs
  std::vector<int32_t> corrupt = {};  ///< corrupt prompt; empty if there is none
  PatchMetric metric = {};            ///< without answers for pairs, which have their own
  PatchDirection direction = PatchDirection::kDenoise;
  int64_t pairs = 0;      ///< number of pairs; 0: one, which is above
  std::string note = {};  ///< one line of text, such as the noise
};

/// Attention results of one text. Each that is not null is shown as a result of its own; those of
/// heads together.
struct AttentionViews {
  const AttentionMaps* maps = nullptr;
  const AttentionRelevance* rollout = nullptr;
  const AttentionRelevance* flow = nullptr;
  const HeadStatistics* statistics = nullptr;
  const RepetitionScores* repetition = nullptr;  ///< on random tokens, independent of the text
};

/// A text, and how training_windows() cuts it.
struct WindowedText {
  std::vector<int32_t> ids;
  int64_t window = 0, stride = 0;
};

/// Description of an experiment with concept_directions(), which its result does not contain.
struct ConceptSubject {
  Batch positive, negative;  ///< prompts, in the order of the scores
  ConceptPooling pooling = ConceptPooling::kLast;
  std::string note = {};  ///< one line of text, such as the selection of sites
  /// [results] command line that adds the direction during a generation; empty: not shown.
  std::vector<std::string> steering = {};
};

/// Covariance matrix, and the data it was computed from if they are available.
struct CovarianceView {
  const Covariance* covariance = nullptr;
  std::string title = {};               ///< file, site or pattern; may be empty
  std::vector<std::string> names = {};  ///< [variables]; empty: indices
  /// [variables, observations] one row per variable, shown in the detail of each cell. Empty (a
  /// pass over a corpus keeps no observations): not shown.
  MatrixView series = {};
  std::span<const double> weights = {};  ///< [observations] fweights * aweights; empty: 1 each
  const PrincipalComponents* components = nullptr;  ///< null: not shown
  /// Whether page and figure start with correlations. Empty: for more than 16 variables, and where
  /// the largest standard deviation is more than 10 times the smallest (no common unit).
  std::optional<bool> correlations = {};
};

// Several results (of several prompts) share one page with a selector. All functions throw Error
// (user) for an empty list.

/// Layers x positions: most likely tokens, ranks, probabilities, entropy; rank trajectories over
/// layers; watched tokens.
std::string lens_page(std::span<const Lens> results, const PageSource& source);
/// Text coloured by the importance of each token for each predicted token.
std::string saliency_page(std::span<const Saliency> results, const PageSource& source);
/// Logit as a sum over components.
std::string attribution_page(std::span<const LogitAttribution> results, const PageSource& source);
/// The same over pairs: means with standard errors.
std::string attributed_pairs_page(const AttributedPairs& result, const PageSource& source);
/// Layers x positions, heads or neurons.
std::string patching_page(const Patching& result, const PatchSubject& subject,
                          const PageSource& source);
std::string ablation_page(const Ablations& result, const PatchSubject& subject,
                          const PageSource& source);
std::string trace_page(const Trace& result, const PatchSubject& subject, const PageSource& source);
/// Senders: layers x heads and MLP.
std::string path_page(const PathPatching& result, const PatchSubject& subject,
                      const PageSource& source);
/// The same over pairs: means with standard errors.
std::string patched_pairs_page(const OverPairs<Patching>& result, const PatchSubject& subject,
                               const PageSource& source);
std::string path_pairs_page(const OverPairs<PathPatching>& result, const PatchSubject& subject,
                            const PageSource& source);

/// Maps of a layer as thumbnails and one large map; rollout and flow over the text, a flow with its
/// network; head statistics as layers x heads. Throws Error (user) for an empty view, for
/// statistics and repetition scores of different heads, and for more than 6 million numbers, of
/// each row those up to its query.
std::string attention_page(std::span<const AttentionViews> results, const PageSource& source);
/// Matrix, with details of each cell: both series, their means, and the products of their
/// deviations. For more than 2,000 observations or a million numbers the page contains an even
/// selection of observations and says so; the matrix is always complete. Throws Error (user) for
/// series or names that do not match the matrix, for variables whose squares are outside the range
/// of float64, and for more than 4 million cells (2,048 variables).
std::string covariance_page(std::span<const CovarianceView> results, const PageSource& source);
/// Scores by layer with intervals, the untrained control and the ceiling; which layers cannot be
/// told from the best; subjects and neuroids of a layer.
std::string predictivity_page(const Predictivity& result, const PageSource& source);
/// Texts coloured by the strength of a component at each token, and its strongest neurons (50 per
/// component).
std::string factors_page(const Factors& result, const PageSource& source);
/// Effect of each kind of noise, per repetition; spans versus scattered tokens; similarity of each
/// layer to the run without noise. Contains the numbers of all repetitions and the texts of the
/// first 200 of each kind.
std::string noise_page(std::span<const Noise> results, const PageSource& source);
/// Separation of the prompts by each direction, per site. For one site: the scores of the held-out
/// prompts, the 50 largest elements, and the cosines between directions of different sites in the
/// basis of the residual stream. Throws Error (user) for scores that do not match the prompts, and
/// for prompts of more than 2 million tokens in total.
std::string concept_page(std::span<const ConceptDirection> results, const ConceptSubject& subject,
                         const PageSource& source);
/// Sites x sites. `against`: name of the model whose sites are the columns; empty: the same model.
std::string similarity_page(const Similarity& result, const PageSource& source,
                            const std::string& against = "");
/// Texts coloured by the surprisal of each token. Throws Error (user) for more than 2 million
/// tokens in total.
std::string score_page(std::span<const Score> results, const PageSource& source);
/// The same for the surprisal of each word.
std::string word_score_page(std::span<const WordScores> results, const PageSource& source);
/// The text, coloured by what each token is in a window, and all windows. Throws Error (user) as
/// training_windows() does, and for more than 2 million tokens in all windows together.
std::string windows_page(std::span<const WindowedText> results, const PageSource& source);
/// Generation token by token: the rank of each generated token at each layer. `results`: from
/// rankings().
std::string rankings_page(std::span<const Lens> results, const PageSource& source);

}  // namespace vitrine
