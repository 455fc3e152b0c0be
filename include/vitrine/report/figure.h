// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "vitrine/report/page.h"

namespace vitrine {

// Results as figures for papers: SVG or PNG on white, with text. Each function returns the bytes of
// a file, which depend only on the arguments and on the machine's fonts. Several results are
// stacked vertically.
//
// All functions throw Error (user) for an empty result, for a figure above the maximum size, and in
// a build without Cairo.

/// Whether this build draws figures: false with -DVITRINE_CAIRO=OFF.
bool can_draw_figures();

enum class FigureFormat : uint8_t {
  kSvg,  ///< lengths in points
  kPng,  ///< 2 pixels a point
};

/// Layers x positions: the most likely token of each cell, coloured by the target's rank. For a
/// single position: ranks by layer of the target and of watched tokens.
std::string lens_figure(std::span<const Lens> results, const PageSource& source,
                        FigureFormat format);
/// Steps x tokens, coloured by share, or by score if the result has a contrast. For a single step:
/// bars.
std::string saliency_figure(std::span<const Saliency> results, const PageSource& source,
                            FigureFormat format);
/// Layers x heads, bias and MLP.
std::string attribution_figure(std::span<const LogitAttribution> results, const PageSource& source,
                               FigureFormat format);
/// Effects, then first-order estimates, one panel per site.
std::string patching_figure(const Patching& result, const PatchSubject& subject,
                            const PageSource& source, FigureFormat format);
std::string ablation_figure(const Ablations& result, const PatchSubject& subject,
                            const PageSource& source, FigureFormat format);
std::string trace_figure(const Trace& result, const PatchSubject& subject, const PageSource& source,
                         FigureFormat format);
/// Senders: layers x heads and MLP.
std::string path_figure(const PathPatching& result, const PatchSubject& subject,
                        const PageSource& source, FigureFormat format);
/// The same over pairs: means with standard errors.
std::string patched_pairs_figure(const OverPairs<Patching>& result, const PatchSubject& subject,
                                 const PageSource& source, FigureFormat format);
std::string path_pairs_figure(const OverPairs<PathPatching>& result, const PatchSubject& subject,
                              const PageSource& source, FigureFormat format);
std::string attributed_pairs_figure(const AttributedPairs& result, const PageSource& source,
                                    FigureFormat format);

/// One map per head, or per layer of rollout and flow, and of a single query one picture of all;
/// head statistics as layers x heads. At most 48 pictures.
std::string attention_figure(std::span<const AttentionViews> results, const PageSource& source,
                             FigureFormat format);
/// Covariances, or correlations if the view starts with them; at most 512 variables. Up to 16 have
/// their numbers in the cells, and then covariances follow correlations.
std::string covariance_figure(std::span<const CovarianceView> results, FigureFormat format);
std::string similarity_figure(const Similarity& result, FigureFormat format);
/// Scores by layer with their intervals, the untrained control, the baseline without a model, and
/// the ceiling.
std::string predictivity_figure(const Predictivity& result, FigureFormat format);
/// AUC and Cohen's d by layer if there are several sites, and the scores of the held-out prompts
/// along the best direction as dots.
std::string concept_figure(std::span<const ConceptDirection> results, FigureFormat format);
/// Components x tokens, at most 50 tokens per panel, on one scale; and components x layers: each
/// layer's share of the squared weights.
std::string factors_figure(const Factors& result, const PageSource& source, FigureFormat format);
/// Surprisal of each token in bits as bars, 40 tokens per row; at most 4,000 tokens.
std::string score_figure(std::span<const Score> results, const PageSource& source,
                         FigureFormat format);
/// The same for words.
std::string word_score_figure(std::span<const WordScores> results, const PageSource& source,
                              FigureFormat format);
/// The inputs and targets of each text's first windows, place by place: at most 16 windows and 32
/// places.
std::string windows_figure(std::span<const WindowedText> results, const PageSource& source,
                           FigureFormat format);
/// Similarity of hidden states by layer, and the change of the continuation's log-probability, for
/// each kind of noise.
std::string noise_figure(std::span<const Noise> results, const PageSource& source,
                         FigureFormat format);

}  // namespace vitrine
