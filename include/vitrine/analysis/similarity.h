// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "vitrine/hooks.h"
#include "vitrine/model.h"
#include "vitrine/progress.h"

namespace vitrine {

// Similarity of two layers' representations of the same tokens, invariant to rotation.
//
// X [N, D1] and Y [N, D2] are the centred activations of two sites on the same N tokens.

enum class SimilarityMeasure : uint8_t {
  /// ||Y^T X||_F^2 / (||X^T X||_F ||Y^T Y||_F), linear centred kernel alignment (Kornblith 2019).
  /// 1: equal up to a rotation and a scale.
  kCka,
  /// Mean canonical correlation of the principal components of X and of Y that explain `variance`
  /// of the variance each (Raghu 2017). The number of correlations is the smaller number of
  /// components. 1: equal up to an invertible linear map.
  kSvcca,
};

/// "cka", "svcca".
std::string_view similarity_measure_name(SimilarityMeasure measure);
/// Inverse of similarity_measure_name(). Throws Error (user) that lists both names.
SimilarityMeasure similarity_measure_from_name(std::string_view name);

struct SimilarityOptions {
  SimilarityMeasure measure = SimilarityMeasure::kCka;
  /// Pattern (see Hooks) of sites with one row per token. All axes after the token axis are
  /// flattened.
  std::string site = "blocks.*.hook_resid_post";
  Where where = {};        ///< selects layers, heads, neurons and tokens
  double variance = 0.99;  ///< SVCCA: share of the variance to keep, > 0 and <= 1
  Hooks edits = {};        ///< edits applied during the run; captures are ignored
  /// Maximum tokens per forward pass. Results depend on it only through rounding.
  int64_t batch_tokens = 512;
  size_t max_bytes =
      size_t{2}
      /// Maximum bytes of the activation products; the texts run several times if they do not fit.
      << 30;
  /// Optional progress callback (counts tokens, over all passes); null disables reporting.
  Progress* progress = nullptr;
};

struct Similarity {
  SimilarityMeasure measure = SimilarityMeasure::kCka;
  double variance = 0;  ///< as requested
  int64_t tokens = 0;   ///< N
  int64_t passes = 0;   ///< number of times the texts ran
  /// Site names; equal if one model is compared with itself.
  std::vector<std::string> rows, columns;
  std::vector<double> values;  ///< [rows, columns], 0..1; NaN if a site is constant over all tokens
  /// SVCCA: number of components kept per site
  std::vector<int64_t> row_components, column_components;

  double at(size_t row, size_t column) const { return values[row * columns.size() + column]; }
};

/// Compares all pairs of sites. Products are summed in double precision while the texts run: D1 x
/// D2 numbers per pair. If there are at most as many tokens as a site is wide, the activations
/// themselves are kept instead. If N is not much larger than D, both measures are high for any
/// data: SVCCA of random numbers approaches 1. Throws Error (user) as Model::forward does; for a
/// site without rows per token, such as a map; for fewer than two tokens; for a selection of
/// sequences; and for a single pair that exceeds max_bytes.
Similarity similarity(const Model& model, const Batch& texts,
                      const SimilarityOptions& options = {});

/// Compares two models. Rows are the sites of `model`, columns those of `against`, which reads the
/// same ids. Edits apply to both models.
Similarity similarity(const Model& model, const Model& against, const Batch& texts,
                      const SimilarityOptions& options = {});

}  // namespace vitrine
