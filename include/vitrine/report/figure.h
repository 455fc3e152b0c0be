// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "vitrine/report/page.h"

namespace vitrine {

// Results as figures for papers: SVG or PNG, on white, text included. Each function returns a
// file's bytes, which depend on the arguments (and, for the shapes of letters, on the fonts of the
// machine) alone. Several results stand below each other.
//
// All throw Error (user) for a figure of nothing, and for one so large that nobody could print it.

enum class FigureFormat : uint8_t {
  kSvg,  ///< lengths in points
  kPng,  ///< 2 pixels a point
};

/// Layers by positions: the likeliest token of each cell on the colour of the target's rank. Of a
/// single position: ranks by layer, those of watched tokens beside the target's.
std::string lens_figure(std::span<const Lens> results, const PageSource& source,
                        FigureFormat format);
/// Steps by tokens, coloured by share, or by score where the result has a contrast. Of a single
/// step: bars.
std::string saliency_figure(std::span<const Saliency> results, const PageSource& source,
                            FigureFormat format);
/// Layers by heads, bias and MLP.
std::string attribution_figure(std::span<const LogitAttribution> results, const PageSource& source,
                               FigureFormat format);
/// The effects of patch(), ablate() or causal_trace(), a picture for each site; estimates where
/// there are no effects.
std::string patch_figure(std::span<const PatchGrid> grids, const PatchSubject& subject,
                         const PageSource& source, FigureFormat format);
/// Senders as layers by heads and MLP.
std::string path_figure(const PathPatching& result, const PatchSubject& subject,
                        const PageSource& source, FigureFormat format);

/// A map for each head, or for each layer of rollout and flow; of heads' habits layers by heads. 48
/// pictures at most.
std::string attention_figure(std::span<const AttentionViews> results, const PageSource& source,
                             FigureFormat format);
/// Covariances, or correlations where the view begins with them; of 512 variables at most.
std::string covariance_figure(std::span<const CovarianceView> results, FigureFormat format);
std::string similarity_figure(const Similarity& result, FigureFormat format);
/// Scores by layer with their intervals, the untrained control, what needs no model, and the
/// ceiling.
std::string predictivity_figure(const Predictivity& result, FigureFormat format);
/// AUC and Cohen's d by layer if there are several sites, and each held-out prompt as a dot along
/// the best one's direction.
std::string concept_figure(std::span<const ConceptDirection> results, FigureFormat format);
/// Components by tokens, up to 50 tokens in a picture, all on one scale; and components by layers:
/// the share of the squares of its weights.
std::string factors_figure(const Factors& result, const PageSource& source, FigureFormat format);
/// The surprisal of each token in bits as a bar with the token below, 40 tokens in a row; of 4,000
/// tokens at most.
std::string score_figure(std::span<const Score> results, const PageSource& source,
                         FigureFormat format);
/// The same of words.
std::string word_score_figure(std::span<const WordScores> results, const PageSource& source,
                              FigureFormat format);
/// Hidden states by layer, and what becomes of the continuation, for each kind of noise.
std::string noise_figure(std::span<const Noise> results, const PageSource& source,
                         FigureFormat format);

}  // namespace vitrine
