// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "base/check.h"
#include "report/packed.h"
#include "report/page.h"
#include "vitrine/analysis/similarity.h"

namespace vitrine {
using namespace internal;

std::string similarity_page(const Similarity& result, const PageSource& source,
                            const std::string& against) {
  check_results(result.rows.size(), "similarity");
  if (result.columns.empty() ||
      result.values.size() != result.rows.size() * result.columns.size()) {
    user_error("a similarity of {} x {} sites has {} values: expected one per pair",
               result.rows.size(), result.columns.size(), result.values.size());
  }
  const bool cka = result.measure == SimilarityMeasure::kCka;
  const TokenTable tokens(source.tokenizer);
  Page page{
      .kind = "similarity",
      .title =
          cka ? "Similarity of layers: linear CKA"
              : fmt::format("Similarity of layers: SVCCA, {} of the variance", result.variance),
      .subtitle = fmt::format("{}{} over {} tokens", source.model,
                              against.empty() ? "" : " against " + against, result.tokens),
      .help = cka ? "1: the two sites hold the same geometry of these tokens, up to a rotation and "
                    "one scale."
                  : "1: the principal components of the two sites are linear maps of each other."};
  page.results.push_back({{"label", page.subtitle},
                          {"measure", similarity_measure_name(result.measure)},
                          {"model", source.model},
                          {"against", against},
                          {"tokens", result.tokens},
                          {"rows", result.rows},
                          {"columns", result.columns},
                          {"rowComponents", packed(result.row_components)},
                          {"columnComponents", packed(result.column_components)},
                          {"values", packed(result.values)}});
  return render(page, tokens, source);
}

}  // namespace vitrine
