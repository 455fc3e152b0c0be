// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/model.h"
#include "vitrine/progress.h"
#include "vitrine/tensor.h"

namespace vitrine {

// Neural predictivity: how well a layer's activations predict responses to the same stimuli
// (Schrimpf 2021, "The neural architecture of language: Integrative modeling converges on
// predictive processing").
//
// N stimuli, F features of a stimulus (one site's activation at its last token), Q neuroids
// (measured quantities such as voxels, electrodes or reading times), S subjects, K folds.
// docs/PREDICTIVITY.md describes the whole pipeline and the files.
//
// All computations after the activations are in double precision.

// --- Regression, independent of models.

enum class Regression : uint8_t {
  /// Least squares with a penalty alpha |w|^2 and an intercept without one. Features are z-scored
  /// with the training rows' statistics (constant features are only centred); responses are
  /// centred. Each neuroid has its own alpha.
  kRidge,
  /// Least squares with an intercept: the solution of minimum norm, as scikit-learn's
  /// LinearRegression. Features are centred and not scaled, as in the published pipeline.
  kOls,
};
/// "ridge", "ols".
std::string_view regression_name(Regression regression);
/// Inverse of regression_name(). Throws Error (user) that lists both names.
Regression regression_from_name(std::string_view name);

/// Criterion that selects the alpha of a ridge regression from the training rows alone. A is the
/// hat matrix that maps the n responses to their fit, intercept included; e are the residuals.
enum class AlphaChoice : uint8_t {
  /// Generalised cross-validation: minimises n |e|^2 / trace(I - A)^2 (Golub, Heath & Wahba 1979).
  kGcv,
  /// Leave-one-out: minimises the sum of (e_i / (1 - A_ii))^2, as scikit-learn's RidgeCV, which
  /// also calls it "gcv".
  kLoo,
};
/// "gcv", "loo".
std::string_view alpha_choice_name(AlphaChoice choice);
AlphaChoice alpha_choice_from_name(std::string_view name);

struct RegressionOptions {
  Regression method = Regression::kRidge;
  /// Candidate penalties, > 0; ties select the first.
  std::vector<double> alphas = {1e-3, 1e-2, 1e-1, 1, 1e1, 1e2, 1e3};
  AlphaChoice choice = AlphaChoice::kGcv;
};

struct RegressionResult {
  Tensor predictions;          ///< [test rows, Q] float64
  std::vector<double> alphas;  ///< [Q] selected penalties; empty for kOls
};

/// Fits the training rows and predicts the test rows. `features` [n, F], `responses` [n, Q],
/// `test_features` [m, F], float32 or float64 in host memory. Throws Error (user) for shapes that
/// do not match, fewer than two training rows, a value that is not finite, an empty list of alphas,
/// and an alpha <= 0. Responses of any scale within float64 (1e-300 .. 1e300) give the same fit.
RegressionResult regress(const TensorView& features, const TensorView& responses,
                         const TensorView& test_features, const RegressionOptions& options = {});

enum class FoldKind : uint8_t {
  kGrouped,  ///< groups are held out as a whole, so that no story is in both training and test rows
  /// Stimuli are assigned at random, regardless of groups; scores are then inflated (arXiv
  /// 2406.01538).
  kShuffled,
};
/// "grouped", "shuffled".
std::string_view fold_kind_name(FoldKind kind);
FoldKind fold_kind_from_name(std::string_view name);

/// Fold of each stimulus, 0 .. folds - 1: [N]. kGrouped: groups are ordered by size, largest first
/// (ties in an order drawn from the seed), and each is assigned to the fold with the fewest stimuli
/// so far. kShuffled: fold sizes differ by at most one. Results are the same on every machine.
/// Throws Error (user) for fewer than two folds, and for fewer groups (or stimuli) than folds.
std::vector<int32_t> make_folds(std::span<const std::string> groups, int folds, FoldKind kind,
                                uint64_t seed);

struct CrossValidation {
  int folds = 0;
  int64_t neuroids = 0;
  /// [K, Q] Pearson's r of predicted and held-out responses. NaN if the responses are constant
  /// among the held-out or among the training rows; 0 if only the predictions are constant.
  std::vector<double> r;
  std::vector<double> alphas;  ///< [K, Q]; empty for kOls
  /// [Q] mean of r over the folds; NaN if r of one fold is NaN.
  std::vector<double> scores() const;
};

/// Holds out each fold in turn. `features` [N, F], `responses` [N, Q], `folds` [N] from
/// make_folds() or any other assignment. Throws Error (user) as regress() does, and for a fold with
/// fewer than three stimuli, where correlation is undefined.
CrossValidation cross_validate(const TensorView& features, const TensorView& responses,
                               std::span<const int32_t> folds,
                               const RegressionOptions& options = {});

// --- Stimuli and responses.

/// Text that precedes a stimulus in the model's input.
enum class StimulusContext : uint8_t {
  kGroup,  ///< the earlier stimuli of its group, in order
  kNone,   ///< nothing
};
/// "group", "none".
std::string_view stimulus_context_name(StimulusContext context);
StimulusContext stimulus_context_from_name(std::string_view name);

/// Stimuli as tokens. Stimuli of one group (a story, a passage) need not be adjacent; their order
/// matters.
struct Stimuli {
  Batch ids;                        ///< [N] tokens of each stimulus, at least one
  std::vector<std::string> groups;  ///< [N]
  /// Tokens before the first stimulus of each group, or with kNone before each stimulus, as
  /// Model::frame() has them; not counted as a stimulus's own.
  std::vector<int32_t> before = {};
};

/// Tokenises texts. With kGroup a space is inserted between a text and the previous text of its
/// group unless one of them has white space there. Throws Error (user) for a text without tokens,
/// and for a list of groups of a different length.
Stimuli encode_stimuli(const Tokenizer& tokenizer, std::span<const std::string> texts,
                       std::span<const std::string> groups, StimulusContext context);

/// Indices, ascending, of stimuli whose text (white space at its ends aside) is also that of a
/// stimulus in another part: a group, or a fold of Predictivity as text. With equal texts in two
/// folds a regression is tested on what it was trained on, and scores are inflated. `parts`: [N].
/// Throws Error (user) for lists of different lengths.
std::vector<int64_t> repeated_stimuli(std::span<const std::string> texts,
                                      std::span<const std::string> parts);

struct Responses {
  Tensor values;                           ///< [N, Q] float32 or float64, finite
  std::vector<std::string> neuroids = {};  ///< [Q] names; empty: "0", "1", ...
  std::vector<std::string> subjects = {};  ///< [Q] subject of each neuroid; empty: one subject
  /// Noise ceiling as an r > 0: [Q], or one value for all neuroids; empty: unknown.
  std::vector<double> ceilings = {};
};

/// Activations at the last token of each stimulus.
struct StimulusFeatures {
  std::string site;  ///< "blocks.3.hook_resid_post"
  int layer = 0;     ///< layer of the site; 0 for sites without a layer
  Tensor values;     ///< [N, F] float32
};

struct FeatureOptions {
  /// Globs over site names; maps are excluded. blocks.0.hook_resid_pre is token + position
  /// embedding.
  std::vector<std::string> sites = {"blocks.0.hook_resid_pre", "blocks.*.hook_resid_post"};
  StimulusContext context = StimulusContext::kGroup;
  /// Edits applied during the run; captures are ignored. Positions count within the input of a
  /// stimulus, context included.
  Hooks edits = {};
  /// Optional progress callback (counts stimuli); null disables reporting.
  Progress* progress = nullptr;
};

struct FeatureSet {
  std::vector<StimulusFeatures> sites;  ///< in the order of the pass
  int64_t cut = 0;  ///< number of stimuli whose context was truncated at its beginning
};

/// A stimulus with its context is one sequence, truncated to the last `context` tokens (Config).
/// Stimuli of a group that fit together are read in one pass, with the same bits. Throws Error
/// (user) as Model::forward does, naming the stimulus; for a pattern that matches no site or a map;
/// and for an empty list of stimuli.
FeatureSet stimulus_features(const Model& model, const Stimuli& stimuli,
                             const FeatureOptions& options = {});

// --- Complete analysis.

struct Interval {
  double low = 0, high = 0;
};

/// Score of one set of features over all responses.
struct PredictivityScore {
  std::string name;  ///< name of the site, or of other features
  int layer = 0;
  int64_t features = 0;  ///< F
  /// Median over subjects of the median r over each subject's neuroids. Neuroids without r are
  /// excluded.
  double r = 0;
  /// The same with each neuroid's r divided by its ceiling; equals r if there are no ceilings.
  double score = 0;
  Interval interval = {};             ///< interval of `score`
  std::vector<double> subjects = {};  ///< [S] median of r / ceiling
  /// [Q] mean of r over the folds, not divided by the ceiling; NaN if undefined
  std::vector<double> neuroids = {};
  std::vector<double> alphas = {};  ///< [K, Q]; empty for kOls
  double below_best = 0;            ///< score of the best site minus this score
  /// Interval of that difference: both scores of a draw are of the same subjects and neuroids, and
  /// all draws are of the same stimuli and folds. If it contains 0, the two cannot be told apart.
  Interval below_best_interval = {};
};

struct PredictivityOptions {
  FeatureOptions features = {};
  RegressionOptions regression = {};
  int folds = 5;
  FoldKind fold_kind = FoldKind::kGrouped;
  uint64_t seed = 0;  ///< seed of the folds and of the bootstrap
  /// Seeds of untrained controls (Model::random with the same Config), one control per seed. Empty:
  /// none.
  std::vector<uint64_t> control_seeds = {0};
  ModelOptions control_model = {};  ///< device and dtype of the controls
  int bootstraps = 1000;            ///< 0: no intervals (NaN)
  /// Optional progress callback (counts regressions and readings); null disables reporting.
  Progress* progress = nullptr;
};

/// Untrained control of one site.
struct PredictivityControl {
  double score = 0;            ///< mean over the seeds
  std::vector<double> scores;  ///< [seeds]
  Interval interval = {};      ///< interval of that mean
  double advantage = 0;        ///< the trained model's score minus the control's
  Interval advantage_interval = {};
};

struct Predictivity {
  int64_t stimuli = 0, groups = 0, neuroids = 0;
  std::vector<std::string> subjects;          ///< [S] in order of first appearance
  std::vector<std::string> neuroid_names;     ///< [Q]
  std::vector<std::string> neuroid_subjects;  ///< [Q]
  std::vector<int32_t> folds;                 ///< [N]
  int64_t cut = 0;                            ///< see FeatureSet
  bool ceiled = false;                        ///< true: ceilings were given
  std::vector<PredictivityScore> sites;
  std::vector<PredictivityControl> controls;  ///< one per site; empty without control_seeds
  /// Baseline without a model. Its features are the stimulus's number of tokens, its index in its
  /// group and the number of tokens before it in the group.
  PredictivityScore baseline;
  size_t best = 0;  ///< index in `sites` of the largest score
  /// Indices of neuroids without r: their responses are constant overall, within a fold, or outside
  /// a fold.
  std::vector<int64_t> constant;
};

/// Computes the features of every site, their cross-validated regressions, the controls and the
/// intervals. Intervals are 95 % percentile intervals of a bootstrap that resamples subjects, and
/// neuroids within each subject (with one subject: neuroids only). All features use the same draws,
/// so differences have paired intervals. Holds the features of one model and one regression at a
/// time. The best site is the best of this sample, and its interval is not corrected for the
/// choice; `below_best_interval` says which other sites may be as good. Throws Error (user) as
/// stimulus_features(), make_folds() and cross_validate() do; for responses that are not [N, Q];
/// for a response that is not finite, naming stimulus and neuroid; for names, subjects or ceilings
/// whose count differs from Q; for a ceiling <= 0; and if no neuroid has a score.
Predictivity predictivity(const Model& model, const Stimuli& stimuli, const Responses& responses,
                          const PredictivityOptions& options = {});

}  // namespace vitrine
