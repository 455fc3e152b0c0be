#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/corpus.h"
#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Covariance matrices with the meaning of numpy.cov, in float64: of matrices in memory, and of activations over a corpus in one
// pass. Correlation, eigenvalues and principal components from them.

/// Numbers that somebody else owns, row by row.
struct MatrixView {
  std::span<const double> values;  ///< [rows, columns]
  int64_t rows = 0, columns = 0;
};

struct CovarianceOptions {
  bool rowvar = true;  ///< a row is a variable and a column an observation; false: the other way round
  bool bias = false;   ///< the divisor is N, not N - 1; only where ddof is not given
  std::optional<int64_t> ddof = {};        ///< what is taken from the number of observations; may be negative
  std::span<const int64_t> fweights = {};  ///< [observations] how often each was seen, 0 or more; empty: once
  std::span<const double> aweights = {};   ///< [observations] how much each counts, 0 or more; empty: equally
};

/// A covariance matrix, symmetric to the bit.
struct Covariance {
  int64_t variables = 0;
  int64_t observations = 0;
  int64_t ddof = 1;
  double weight = 0;   ///< sum of w = fweights * aweights; observations without weights
  double divisor = 0;  ///< N - ddof; with aweights sum(w) - ddof * sum(w * aweights) / sum(w)
  std::vector<double> mean;    ///< [variables], weighted
  std::vector<double> values;  ///< [variables, variables]: variances on the diagonal

  double at(int64_t i, int64_t j) const { return values[static_cast<size_t>(i * variables + j)]; }
};

/// numpy.cov(m, y, ...): two passes. Variables of `y` follow those of `m`; it has no rows if it is not given.
/// Throws Error (user) for a matrix whose values are not rows x columns, no variables, observations of `y` or weights that are
/// not as many as those of `m`, a weight that is negative or not finite, weights that are all 0, and a divisor of 0 or less
/// (where NumPy warns and divides by 0). NaNs and infinities go where the arithmetic takes them.
Covariance covariance(const MatrixView& m, const MatrixView& y, const CovarianceOptions& options = {});
Covariance covariance(const MatrixView& m, const CovarianceOptions& options = {});

/// [variables, variables] numpy.corrcoef: c_ij / sqrt(c_ii c_jj), clipped to -1..1; NaN where a variance is 0.
std::vector<double> correlation(const Covariance& covariance);

struct PrincipalComponents {
  std::vector<double> eigenvalues;  ///< all of them, descending
  std::vector<double> explained;    ///< of the total variance, the share of each; 0 where there is no variance
  int64_t count = 0;
  /// [count, variables] unit vectors in the order of the eigenvalues. The element of largest size is positive (the first of
  /// equals), which settles the sign.
  std::vector<double> components;
};

/// `count`: how many vectors to keep; negative: all. Throws Error (user) for a matrix that has a NaN or an infinity.
PrincipalComponents principal_components(const Covariance& covariance, int64_t count = -1);

/// Means and centred sums of products of observations that come a few at a time, in one pass: blocks of 256 are
/// centred on their own mean, and joined by the update of Chan, Golub and LeVeque (1979), so that nothing cancels where means
/// are large. Results depend on the observations and their order, to the bit, and not on how many came at once.
class Moments {
 public:
  /// Throws Error (user) for no variables, and for so many that the matrix would have more than `max_bytes`.
  explicit Moments(int64_t variables, uint64_t max_bytes = uint64_t{4} << 30);

  /// `rows`: [n, variables] row by row. `fweights` and `aweights`: [n] or empty, as in CovarianceOptions.
  /// Throws Error (user) for sizes that do not fit and weights that are negative or not finite.
  void add(std::span<const double> rows, std::span<const int64_t> fweights = {}, std::span<const double> aweights = {});
  void add(std::span<const float> rows);
  /// Adds the observations of another, as if they had come after these; equal to that up to rounding.
  /// Throws Error (user) for another number of variables.
  void merge(const Moments& other);

  int64_t variables() const { return variables_; }
  int64_t observations() const { return observations_; }
  /// Throws Error (user) for no observations and for a divisor of 0 or less.
  Covariance covariance(int64_t ddof = 1) const;

 private:
  friend struct MomentsState;
  void add_block();
  void join(double weight, std::span<const double> mean, std::span<const double> products);

  int64_t variables_ = 0;
  int64_t observations_ = 0;
  double weight_ = 0, weight_a_ = 0;  // of whole blocks: sum of w, of w * aweights
  std::vector<double> origin_;        // [variables] the first observation: all else is relative to it, so that means are small
  std::vector<double> mean_;          // [variables]
  std::vector<double> products_;      // [variables, variables] sum of w (x - mean) (x - mean)^T, lower triangle
  std::vector<double> rows_;          // the block that is not full: [n, variables]
  std::vector<double> w_, wa_;        // [n] of its rows: w, w * aweights
};

/// What was found at one site.
struct SiteMoments {
  std::string site;                    ///< "blocks.3.hook_resid_post"
  std::vector<std::string> variables;  ///< "17", or "3.17" where the site has heads: head 3, element 17
  Moments moments;                     ///< an observation is a token
};

/// Moments of some sites over a corpus, or over one rank's part of it.
struct CorpusMoments {
  std::vector<SiteMoments> sites;  ///< in the order of the pass
  bool complete = false;           ///< false: keep_going said no
  int64_t windows = 0, documents = 0, tokens = 0, skipped = 0;
  std::string first_skipped;  ///< what was wrong with the first document that was skipped in this run
  bool resumed = false;
  /// JSON, an object for each run that is in here: model, tokenizer, plan, corpus, rank, world.
  std::string parts;
};

struct CorpusMomentsOptions {
  /// Where the state is kept, a .safetensors file: written every `save_tokens` tokens and at the end, and gone on with where it
  /// is there already; FILE.lock beside it keeps other processes out. Empty: nowhere.
  std::filesystem::path state = {};
  int64_t save_tokens = 1 << 20;
  int64_t batch_tokens = 512;       ///< as CaptureFileOptions::batch_tokens; results do not depend on it
  std::string weights_digest = {};  ///< as CorpusCaptureOptions::weights_digest
  uint64_t max_bytes = uint64_t{4} << 30;  ///< that all sites' matrices may take together, where the model is and once more on the host
  std::function<bool()> keep_going = {};   ///< asked between batches; false saves the state and ends the run
  Progress* progress = nullptr;            ///< counts tokens, of an estimated total; null: nobody wants to know
};

/// Goes over all windows, or on with it; sums are added up where the model is (RunningMoments). Every new token of a window (Window::repeated) is an observation, its activations
/// the variables; positions that `hooks` narrow to count within a window. A run that was stopped, or killed, and went on
/// gives the same bits as one that was not.
/// Throws Error (user) as capture_corpus does, with a state in place of a folder; for a NaN or an infinity; and for matrices of
/// more than `max_bytes`.
CorpusMoments corpus_moments(const Model& model, WindowReader windows, const Hooks& hooks, const CorpusMomentsOptions& options = {});

/// Reads what a run has left in its state. Throws Error (user) for a file that is no such state, or is damaged.
CorpusMoments read_moments(const std::filesystem::path& path);
/// Joins the parts of a corpus, in the order of `paths`. Equal to one run over all of it up to rounding. Throws Error (user)
/// for states that are not complete, of different models or sites, a rank that is there twice, and one that is missing.
CorpusMoments merge_moments(const std::vector<std::filesystem::path>& paths);
/// Writes them as a state that read_moments reads: for merges of merges.
void write_moments(const CorpusMoments& moments, const std::filesystem::path& path);

}  // namespace vitrine
