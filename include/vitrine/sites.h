// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "vitrine/config.h"

namespace vitrine {

/// Sites: all activations of the forward pass that can be captured or edited, in the order of the
/// pass. Names and shapes are those of TransformerLens for GPT-2.
enum class Site : uint8_t {
  kEmbed,
  kPosEmbed,
  kResidPre,
  kLn1Scale,
  kLn1Normalized,
  kQ,
  kK,
  kV,
  kAttnScores,
  kPattern,
  kZ,
  kResult,
  kAttnOut,
  kResidMid,
  kLn2Scale,
  kLn2Normalized,
  kMlpPre,
  kMlpPost,
  kMlpOut,
  kResidPost,
  kLnFinalScale,
  kLnFinalNormalized,
  kLogits,
};
inline constexpr size_t kSiteCount = 23;

/// Shape of a site for a sequence of T tokens.
enum class SiteShape : uint8_t {
  kScalar,   ///< [T, 1]
  kModel,    ///< [T, D]
  kHeads,    ///< [T, H, K]
  kResults,  ///< [T, H, D]
  kInner,    ///< [T, M]
  kVocab,    ///< [T, V]
  kMap,      ///< [H, T, T]: head, query, key
};

struct SiteInfo {
  Site site;
  std::string_view name;  ///< without the prefix "blocks.L." of a per-layer site
  bool per_layer;
  SiteShape shape;
  std::string_view note;
};

/// Table of sites; docs/SITES.md and `vitrine info` are generated from it.
inline constexpr std::array<SiteInfo, kSiteCount> kSites = {{
    {Site::kEmbed, "hook_embed", false, SiteShape::kModel, "token embedding: a row of wte"},
    {Site::kPosEmbed, "hook_pos_embed", false, SiteShape::kModel,
     "position embedding: a row of wpe"},
    {Site::kResidPre, "hook_resid_pre", true, SiteShape::kModel,
     "residual stream before the block"},
    {Site::kLn1Scale, "ln1.hook_scale", true, SiteShape::kScalar,
     "sqrt(var + eps) of the first layernorm"},
    {Site::kLn1Normalized, "ln1.hook_normalized", true, SiteShape::kModel,
     "output of the first layernorm, after weight and bias"},
    {Site::kQ, "attn.hook_q", true, SiteShape::kHeads, "queries"},
    {Site::kK, "attn.hook_k", true, SiteShape::kHeads, "keys"},
    {Site::kV, "attn.hook_v", true, SiteShape::kHeads, "values"},
    {Site::kAttnScores, "attn.hook_attn_scores", true, SiteShape::kMap,
     "scaled scores, -inf where masked"},
    {Site::kPattern, "attn.hook_pattern", true, SiteShape::kMap,
     "softmax of the scores, 0 where masked"},
    {Site::kZ, "attn.hook_z", true, SiteShape::kHeads,
     "mixed values, before the output projection"},
    {Site::kResult, "attn.hook_result", true, SiteShape::kResults,
     "each head's output, without the bias"},
    {Site::kAttnOut, "hook_attn_out", true, SiteShape::kModel, "output of attention, with bias"},
    {Site::kResidMid, "hook_resid_mid", true, SiteShape::kModel,
     "residual stream between attention and MLP"},
    {Site::kLn2Scale, "ln2.hook_scale", true, SiteShape::kScalar,
     "sqrt(var + eps) of the second layernorm"},
    {Site::kLn2Normalized, "ln2.hook_normalized", true, SiteShape::kModel,
     "output of the second layernorm, after weight and bias"},
    {Site::kMlpPre, "mlp.hook_pre", true, SiteShape::kInner,
     "MLP neurons before the activation function"},
    {Site::kMlpPost, "mlp.hook_post", true, SiteShape::kInner, "MLP neurons after it"},
    {Site::kMlpOut, "hook_mlp_out", true, SiteShape::kModel, "output of the MLP, with bias"},
    {Site::kResidPost, "hook_resid_post", true, SiteShape::kModel,
     "residual stream after the block"},
    {Site::kLnFinalScale, "ln_final.hook_scale", false, SiteShape::kScalar,
     "sqrt(var + eps) of the final layernorm"},
    {Site::kLnFinalNormalized, "ln_final.hook_normalized", false, SiteShape::kModel,
     "output of the final layernorm"},
    {Site::kLogits, "logits", false, SiteShape::kVocab, "scores of the next token"},
}};

constexpr bool sites_are_in_order() {
  for (size_t i = 0; i < kSiteCount; ++i) {
    if (static_cast<size_t>(kSites[i].site) != i) return false;
  }
  return true;
}
static_assert(sites_are_in_order());

constexpr const SiteInfo& site_info(Site site) { return kSites[static_cast<size_t>(site)]; }

/// One site of one layer; `layer` is 0 for a site without layers.
struct SiteRef {
  Site site;
  int layer;
  std::string name;  ///< "blocks.3.hook_resid_post"
};

/// "blocks.3.hook_resid_post", or the plain name of a site without layers.
std::string site_name(Site site, int layer);

/// Shape in letters: "[T, H, K]".
std::string_view site_shape_text(SiteShape shape);

/// Number of elements of one token's row; 0 for a map, which has no fixed width.
int64_t site_width(SiteShape shape, const Config& config);

/// Number of consecutive elements of a row that belong to one head; 0 for sites without heads and
/// for maps.
int64_t site_head_width(SiteShape shape, const Config& config);

}  // namespace vitrine
