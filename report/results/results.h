// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "report/page.h"
#include "report/result.h"

namespace vitrine::internal {

// Each analysis's description of its result.

Result maps_result(const AttentionMaps& found, const PageSource& source);
/// `mode`: rollout or flow.
Result relevance_result(const AttentionRelevance& found, const std::string& mode,
                        const PageSource& source);
/// Either may be null. Throws Error (user) for results of different heads.
Result heads_result(const HeadStatistics* statistics, const RepetitionScores* repetition,
                    const PageSource& source);
Result attribution_result(const LogitAttribution& found, const PageSource& source);
Result attributed_pairs_result(const AttributedPairs& found, const PageSource& source);
/// "logit of ␣London less that of ␣Paris"; of pairs without their tokens.
std::string attributed_in_words(const LogitAttribution& found, const Names& names);
/// `pairs`: number of the strongest ones to list.
Result covariance_result(const CovarianceView& view, size_t pairs);
/// Throws Error (user) for views that a page, or a figure, cannot show.
void check_covariance_page(std::span<const CovarianceView> views);
void check_covariance_figure(std::span<const CovarianceView> views);
/// `subject`: what the directions were found with; see concept_page().
Result concept_result(std::span<const ConceptDirection> results, const ConceptSubject& subject,
                      const PageSource& source);
/// Neurons that a page lists for each component.
constexpr size_t kFactorNeurons = 50;
/// `neurons`: maximum number to list for each component.
Result factors_result(const Factors& found, const PageSource& source, size_t neurons);
Result lens_result(const Lens& lens, const PageSource& source);
/// Of rankings(): the same over a generation.
Result rankings_result(const Lens& lens, const PageSource& source);

Result noise_result(const Noise& found, const PageSource& source);
/// "embed", "blocks.0.hook_resid_post", ...
std::vector<std::string> noise_sites(const Noise& found);
Result predictivity_result(const Predictivity& found);
Result saliency_result(const Saliency& found, const PageSource& source);
Result score_result(const Score& score, const PageSource& source);
Result word_score_result(const WordScores& scores, const PageSource& source);
/// Sums and means of `tokens` scores, by their names.
JsonValue score_totals(double nats, int64_t tokens);
Result windows_result(const WindowedText& text, const PageSource& source);
/// `against`: name of the model whose sites are the columns; empty: the same model.
Result similarity_result(const Similarity& found, const PageSource& source,
                         const std::string& against);

/// The page of results that `describe(result, source)` describes. Throws Error (user) for none.
template <typename Found, typename Describe>
std::string page_of(std::span<const Found> found, std::string_view name, const PageSource& source,
                    Describe describe) {
  check_results(found.size(), name);
  return results_page(described(found, [&](const Found& each) { return describe(each, source); }),
                      source);
}

template <typename Found, typename Describe>
std::string figure_of(std::span<const Found> found, const PageSource& source, FigureFormat format,
                      Describe describe) {
  return results_figure(described(found, [&](const Found& each) { return describe(each, source); }),
                        format);
}

}  // namespace vitrine::internal
