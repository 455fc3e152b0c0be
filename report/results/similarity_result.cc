// SPDX-License-Identifier: MIT
#include <fmt/core.h>
#include <fmt/ranges.h>

#include "base/check.h"
#include "report/page.h"
#include "report/results/results.h"
#include "vitrine/analysis/similarity.h"

namespace vitrine {
using namespace internal;

Result internal::similarity_result(const Similarity& found, const PageSource& source,
                                   const std::string& against) {
  check_results(found.rows.size(), "similarity");
  if (found.columns.empty() || found.values.size() != found.rows.size() * found.columns.size()) {
    user_error("a similarity of {} x {} sites has {} values: expected one per pair",
               found.rows.size(), found.columns.size(), found.values.size());
  }
  const bool cka = found.measure == SimilarityMeasure::kCka;
  Result result{
      .view = "similarity",
      .title = cka ? "Similarity of layers: linear CKA"
                   : fmt::format("Similarity of layers: SVCCA, {} of the variance", found.variance),
      .help = cka ? "1: the two sites hold the same geometry of these tokens, up to a rotation and "
                    "one scale."
                  : "1: the principal components of the two sites are linear maps of each other.",
      .label = fmt::format("{}{} over {} tokens", source.model,
                           against.empty() ? "" : " against " + against, found.tokens),
      .facts = {{"measure", similarity_measure_name(found.measure)},
                {"tokens", found.tokens},
                {"passes", found.passes},
                {"against", against.empty() ? JsonValue() : JsonValue(against)}},
      .shown = {{"model", source.model},
                {"row_labels", site_labels(found.rows)},
                {"column_labels", site_labels(found.columns)}},
      .axes = {{"row", found.rows}, {"column", found.columns}},
      .tables = {{.name = "rows", .axes = {"row"}}, {.name = "columns", .axes = {"column"}}}};
  if (!found.row_components.empty()) {
    result.facts["variance"] = found.variance;
    result.tables.push_back({"row_components", {"row"}, {{"", found.row_components}}});
    result.tables.push_back({"column_components", {"column"}, {{"", found.column_components}}});
  }
  result.tables.push_back({"values", {"row", "column"}, {{"", found.values}}});
  result.panels.emplace_back(HeatPanel{
      .title = fmt::format("{} over {} tokens", cka ? "linear CKA" : "SVCCA", found.tokens),
      .row_name = "layer",
      .value_name = cka ? "linear CKA" : "SVCCA",
      .rows = site_labels(found.rows),
      .columns = site_labels(found.columns),
      .values = found.values,
      .layers = true,
      .cells = fmt::format("hundredths, 100 being alike; {} tokens", thousands(found.tokens))});
  return result;
}

std::string similarity_page(const Similarity& result, const PageSource& source,
                            const std::string& against) {
  const Result found = similarity_result(result, source, against);
  return results_page({&found, 1}, source);
}

std::string similarity_figure(const Similarity& result, FigureFormat format) {
  const Result found = similarity_result(result, {}, "");
  return results_figure({&found, 1}, format);
}

}  // namespace vitrine
