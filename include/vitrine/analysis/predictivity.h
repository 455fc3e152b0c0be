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
// (voxels, electrodes, words' reading times: whatever was measured), S subjects, K folds.
// docs/PREDICTIVITY.md has the whole pipeline and the files.
//
// Everything behind the activations is in double precision.

// --- Regression. It knows nothing of models.

enum class Regression : uint8_t {
  /// Least squares with a penalty alpha |w|^2 and an intercept without one. Features are z-scored
  /// by the training rows (a feature that is
  /// constant there is only centred), responses centred. Each neuroid has its own alpha.
  kRidge,
  /// Least squares with an intercept; of all solutions the one of the smallest norm, which is the
  /// one that scikit-learn's
  /// LinearRegression gives. Features are centred and not scaled, as in the published pipeline.
  kOls,
};
/// "ridge", "ols".
std::string_view regression_name(Regression regression);
/// The inverse. Throws Error (user) naming both words.
Regression regression_from_name(std::string_view name);

/// How a ridge regression chooses its alpha among those offered, from the training rows alone. A is
/// the matrix that takes the n responses to their fit, intercept included; e are the residuals.
enum class AlphaChoice : uint8_t {
  kGcv,  ///< generalised cross-validation, the least n |e|^2 / trace(I - A)^2 (Golub, Heath & Wahba
         ///< 1979)
  kLoo,  ///< leave-one-out, the least sum of (e_i / (1 - A_ii))^2: what scikit-learn's RidgeCV
         ///< computes and also calls "gcv"
};
/// "gcv", "loo".
std::string_view alpha_choice_name(AlphaChoice choice);
AlphaChoice alpha_choice_from_name(std::string_view name);

struct RegressionOptions {
  Regression method = Regression::kRidge;
  /// Offered to every neuroid, above 0; of equally good ones the first is taken.
  std::vector<double> alphas = {1e-3, 1e-2, 1e-1, 1, 1e1, 1e2, 1e3};
  AlphaChoice choice = AlphaChoice::kGcv;
};

struct RegressionResult {
  Tensor predictions;          ///< [test rows, Q] float64
  std::vector<double> alphas;  ///< [Q] as chosen; empty for kOls
};

/// Fits the training rows and predicts the test rows. `features` [n, F], `responses` [n, Q],
/// `test_features` [m, F], float32 or float64 in host memory. Throws Error (user) for shapes that
/// do not fit, fewer than two training rows, a value that is not finite, and no alpha or one not
/// above 0.
RegressionResult regress(const TensorView& features, const TensorView& responses,
                         const TensorView& test_features, const RegressionOptions& options = {});

enum class FoldKind : uint8_t {
  kGrouped,  ///< a group is held out as a whole, so that nothing of a story is learnt from the same
             ///< story
  kShuffled,  ///< stimuli are dealt out at random, whatever their groups: scores are then too good
              ///< (arXiv 2406.01538)
};
/// "grouped", "shuffled".
std::string_view fold_kind_name(FoldKind kind);
FoldKind fold_kind_from_name(std::string_view name);

/// The fold, 0 .. folds - 1, in which each stimulus is held out: [N]. kGrouped: groups in order of
/// their size, largest first and equals in an order drawn from the seed, each to the fold that
/// holds the fewest stimuli so far. kShuffled: sizes differ by one at most. The same on every
/// machine. Throws Error (user) for fewer than two folds, and for fewer groups (or stimuli) than
/// folds.
std::vector<int32_t> make_folds(std::span<const std::string> groups, int folds, FoldKind kind,
                                uint64_t seed);

struct CrossValidation {
  int folds = 0;
  int64_t neuroids = 0;
  /// [K, Q] Pearson's r of predicted and held-out responses. NaN where the responses are constant
  /// among the held-out or among the training rows; 0 where only the predictions are constant: then
  /// nothing was predicted.
  std::vector<double> r;
  std::vector<double> alphas;  ///< [K, Q]; empty for kOls
  /// [Q] the mean of r over the folds; NaN where one fold's is.
  std::vector<double> scores() const;
};

/// Holds out each fold in turn. `features` [N, F], `responses` [N, Q], `folds` [N] as make_folds
/// gives them or any other assignment. Throws Error (user) as regress() does, and for a fold with
/// fewer than three stimuli, from which no correlation can be told.
CrossValidation cross_validate(const TensorView& features, const TensorView& responses,
                               std::span<const int32_t> folds,
                               const RegressionOptions& options = {});

// --- Stimuli and responses.

/// What a stimulus is read after.
enum class StimulusContext : uint8_t {
  kGroup,  ///< the stimuli of its group that stand before it, in order
  kNone,   ///< nothing
};
/// "group", "none".
std::string_view stimulus_context_name(StimulusContext context);
StimulusContext stimulus_context_from_name(std::string_view name);

/// The stimuli, as tokens. Stimuli of one group (a story, a passage) need not stand together; their
/// order counts.
struct Stimuli {
  Batch ids;                        ///< [N] the tokens of each, one at least
  std::vector<std::string> groups;  ///< [N]
};

/// Tokens of texts. Where a text follows another one of its group (kGroup), a blank is put between
/// the two unless one of them has white space there. Throws Error (user) for a text without tokens,
/// or a list of groups of another length.
Stimuli encode_stimuli(const Tokenizer& tokenizer, std::span<const std::string> texts,
                       std::span<const std::string> groups, StimulusContext context);

struct Responses {
  Tensor values;                           ///< [N, Q] float32 or float64, finite
  std::vector<std::string> neuroids = {};  ///< [Q] names; empty: "0", "1", ...
  std::vector<std::string> subjects = {};  ///< [Q] whose neuroid it is; empty: all one subject's
  /// What could at best be predicted, as an r above 0: [Q], or one for all; empty: nothing is
  /// known.
  std::vector<double> ceilings = {};
};

/// Activations at the last token of each stimulus.
struct StimulusFeatures {
  std::string site;  ///< "blocks.3.hook_resid_post"
  int layer = 0;     ///< of that block; 0 for sites without a layer
  Tensor values;     ///< [N, F] float32
};

struct FeatureOptions {
  /// Globs over site names, any site but the maps. blocks.0.hook_resid_pre is token + position
  /// embedding.
  std::vector<std::string> sites = {"blocks.0.hook_resid_pre", "blocks.*.hook_resid_post"};
  StimulusContext context = StimulusContext::kGroup;
  /// Changes to the model; only the edits are used. Positions count within what the model reads for
  /// a stimulus.
  Hooks edits = {};
  Progress* progress = nullptr;  ///< counts stimuli; null: nobody wants to know
};

struct FeatureSet {
  std::vector<StimulusFeatures> sites;  ///< in the order of the pass
  int64_t cut = 0;  ///< stimuli for which the context was too long and lost its beginning
};

/// A stimulus with its context is one sequence, of which at most the last `context` tokens (Config)
/// are read. Stimuli of a group that together fit are read in one pass, which gives the same bits.
/// Throws Error (user) as Model::forward does, naming the stimulus; for a pattern that matches
/// nothing or a map; and for no stimuli.
FeatureSet stimulus_features(const Model& model, const Stimuli& stimuli,
                             const FeatureOptions& options = {});

// --- The whole.

struct Interval {
  double low = 0, high = 0;
};

/// How well one set of features predicts all responses.
struct PredictivityScore {
  std::string name;  ///< of the site, or what else the features are
  int layer = 0;
  int64_t features = 0;  ///< F
  /// Median over subjects of the median over a subject's neuroids of r. Neuroids without an r do
  /// not take part.
  double r = 0;
  /// The same of each neuroid's r over its ceiling; equals r where no ceiling was given.
  double score = 0;
  Interval interval = {};             ///< of `score`
  std::vector<double> subjects = {};  ///< [S] median of r over ceiling
  std::vector<double> neuroids =
      {};  ///< [Q] mean of r over the folds, without the ceiling; NaN where there is none
  std::vector<double> alphas = {};  ///< [K, Q]; empty for kOls
};

struct PredictivityOptions {
  FeatureOptions features = {};
  RegressionOptions regression = {};
  int folds = 5;
  FoldKind fold_kind = FoldKind::kGrouped;
  uint64_t seed = 0;  ///< of the folds and of the bootstrap
  /// One untrained control for each: Model::random of the same Config. Empty: none.
  std::vector<uint64_t> control_seeds = {0};
  ModelOptions control_model = {};  ///< where the controls run
  int bootstraps = 1000;            ///< 0: no intervals (NaN)
  Progress* progress = nullptr;     ///< counts regressions and readings; null: nobody wants to know
};

/// The control beside a site.
struct PredictivityControl {
  double score = 0;            ///< mean over the seeds
  std::vector<double> scores;  ///< [seeds]
  Interval interval = {};      ///< of that mean
  double advantage = 0;        ///< the trained model's score minus the control's
  Interval advantage_interval = {};
};

struct Predictivity {
  int64_t stimuli = 0, groups = 0, neuroids = 0;
  std::vector<std::string> subjects;          ///< [S] in order of appearance
  std::vector<std::string> neuroid_names;     ///< [Q]
  std::vector<std::string> neuroid_subjects;  ///< [Q]
  std::vector<int32_t> folds;                 ///< [N]
  int64_t cut = 0;                            ///< see FeatureSet
  bool ceiled = false;                        ///< whether ceilings were given
  std::vector<PredictivityScore> sites;
  std::vector<PredictivityControl> controls;  ///< one a site; empty without control_seeds
  /// What needs no model: the stimulus's number of tokens, its place in its group and the number of
  /// tokens before it there.
  PredictivityScore baseline;
  size_t best = 0;  ///< of `sites`, the one with the largest score
  /// Neuroids that have no r, because their responses are constant in all, or in a fold, or outside
  /// a fold.
  std::vector<int64_t> constant;
};

/// Features of every site, their cross-validated regressions, the controls and the intervals.
/// Intervals hold 95 %, by percentiles of a bootstrap that draws subjects, and within each subject
/// neuroids, with replacement (with one subject: neuroids alone); all features see the same draws,
/// so that a difference has an interval of its own. Holds the features of one model, and one
/// regression at a time. Throws Error (user) as stimulus_features(), make_folds() and
/// cross_validate() do; for responses that are not [N, Q]; for a response that is not finite,
/// naming stimulus and neuroid; for names, subjects or ceilings of another number; for a ceiling
/// that is not above 0; and where no neuroid has a score.
Predictivity predictivity(const Model& model, const Stimuli& stimuli, const Responses& responses,
                          const PredictivityOptions& options = {});

}  // namespace vitrine
