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

// How alike two layers represent the same tokens, however their axes are turned.
//
// X [N, D1] and Y [N, D2] are two sites' activations on the same N tokens, each column minus its
// mean.

enum class SimilarityMeasure : uint8_t {
  /// ||Y^T X||_F^2 / (||X^T X||_F ||Y^T Y||_F), linear centred kernel alignment (Kornblith 2019).
  /// 1: the same up to a rotation and
  /// one scale.
  kCka,
  /// The mean canonical correlation of the principal components of X and of Y that hold `variance`
  /// of the variance each
  /// (Raghu 2017). As many correlations as the smaller of the two has components. 1: the same up to
  /// any invertible linear map.
  kSvcca,
};

/// "cka" or "svcca".
std::string_view similarity_measure_name(SimilarityMeasure measure);
/// The inverse. Throws Error (user) naming both words.
SimilarityMeasure similarity_measure_from_name(std::string_view name);

struct SimilarityOptions {
  SimilarityMeasure measure = SimilarityMeasure::kCka;
  /// Sites with a row for each token; a pattern as Hooks has it. Axes behind the tokens are put
  /// together.
  std::string site = "blocks.*.hook_resid_post";
  Where where = {};        ///< narrows the sites and the tokens
  double variance = 0.99;  ///< for SVCCA: the share of the variance to keep, above 0, to 1
  Hooks edits = {};        ///< only the edits are used
  int64_t batch_tokens =
      512;  ///< tokens that go through a model at once. Results depend on it only in rounding
  size_t max_bytes =
      size_t{2}
      << 30;  ///< for products of activations; where they do not fit, the texts run several times
  Progress* progress = nullptr;  ///< counts tokens, over all passes; null: nobody wants to know
};

struct Similarity {
  SimilarityMeasure measure = SimilarityMeasure::kCka;
  double variance = 0;                     ///< as asked
  int64_t tokens = 0;                      ///< N
  int64_t passes = 0;                      ///< how often the texts ran
  std::vector<std::string> rows, columns;  ///< site names; of one model, both the same
  std::vector<double>
      values;  ///< [rows, columns], 0..1; NaN where a site is the same for all tokens
  std::vector<int64_t> row_components,
      column_components;  ///< for SVCCA: the components that were kept of each site

  double at(size_t row, size_t column) const { return values[row * columns.size() + column]; }
};

/// Compares all pairs of the sites. Products are summed in double precision while the texts run: D1
/// x D2 numbers a pair. For no more tokens than a site is wide the activations themselves are kept
/// in their place. Note that with N not much larger than D both measures are high for anything:
/// SVCCA of random numbers nears 1. Throws Error (user) as Model::forward does; for a site without
/// rows, such as a map; for fewer than two tokens; for a narrowing by sequence; for a single pair
/// that is larger than max_bytes.
Similarity similarity(const Model& model, const Batch& texts,
                      const SimilarityOptions& options = {});

/// Rows are the sites of `model`, columns those of `against`, which reads the same ids. Edits act
/// on both.
Similarity similarity(const Model& model, const Model& against, const Batch& texts,
                      const SimilarityOptions& options = {});

}  // namespace vitrine
