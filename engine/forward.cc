// SPDX-License-Identifier: MIT
#include "engine/forward.h"

#include <cmath>
#include <numeric>
#include <vector>

// Read forward() at the end first: it is the paper's picture. The functions before it are its
// parts. Each takes the fused operation where nothing inside it is edited, and the composed one,
// which gives the same bits, where something is.

namespace vitrine::internal {
namespace {

void embed(ForwardPass& p) {
  Mat x = p.layer(0).resid_pre;
  const bool watched = p.hooks.watched(Site::kEmbed) || p.hooks.watched(Site::kPosEmbed);
  if (!watched)
    return p.backend.embed(p.batch, p.weights.token_embedding, p.weights.position_embedding, x);
  p.backend.lookup(p.batch, Lookup::kTokens, p.weights.token_embedding, x);
  p.hooks.visit(Site::kEmbed, 0, x);
  p.backend.lookup(p.batch, Lookup::kPositions, p.weights.position_embedding, p.act.branch);
  p.hooks.visit(Site::kPosEmbed, 0, p.act.branch);
  p.backend.add(x, p.act.branch, x);
}

void attend(ForwardPass& p, int layer) {
  const int64_t d = p.config.width;
  const LayerActivations& a = p.layer(layer);
  Mat q = a.qkv.columns(0, d), k = a.qkv.columns(d, d), v = a.qkv.columns(2 * d, d);
  p.hooks.visit(Site::kQ, layer, q);
  p.hooks.visit(Site::kK, layer, k);
  p.hooks.visit(Site::kV, layer, v);
  const int head_width = static_cast<int>(p.config.head_width());
  std::byte* cache = p.cache.layer(layer);
  AttentionArgs args{.q = q,
                     .heads = p.config.heads,
                     .head_width = head_width,
                     .scale = p.attention_scale(layer),
                     .batch = &p.batch,
                     .window = p.config.window(layer),
                     .cache = cache,
                     .z = a.z,
                     .lse = a.lse};
  if (p.hooks.edited(Site::kAttnScores, layer) || p.hooks.edited(Site::kPattern, layer)) {
    args.scores = p.act.scores;
    args.pattern = p.act.pattern;
    p.backend.append_kv(k, v, args.heads, head_width, p.batch, cache);
    p.backend.attention_scores(args);
    p.hooks.visit_map(Site::kAttnScores, layer, args.scores);
    p.backend.attention_softmax(args);
    p.hooks.visit_map(Site::kPattern, layer, args.pattern);
    p.backend.attention_mix(args);
  } else {
    args.scores = p.hooks.tap_map(Site::kAttnScores, layer, p.act.scores);
    args.pattern = p.hooks.tap_map(Site::kPattern, layer, p.act.pattern);
    p.backend.append_and_attend(k, v, args);
    p.hooks.visit_map(Site::kAttnScores, layer, args.scores);
    p.hooks.visit_map(Site::kPattern, layer, args.pattern);
  }
  p.hooks.visit(Site::kZ, layer, a.z);
}

LayerNormArgs norm_args(const ForwardPass& p, const Norm& n, Mat x, Mat out) {
  return {.x = x,
          .weight = n.weight,
          .bias = n.bias,
          .epsilon = p.config.layer_norm_epsilon,
          .out = out};
}

/// linear(args) of layernorm(x), which goes by args.x.
void linear_of_layernorm(ForwardPass& p, const Norm& n, Mat x, const LinearArgs& args) {
  if (!p.hooks.watched(n.scale, n.layer) && !p.hooks.watched(n.normalized, n.layer))
    return p.backend.linear_of_layernorm(norm_args(p, n, x, args.x), args);
  layernorm(p, n, x, args.x);
  p.backend.linear(args);
}

/// to = residual + x W + b, where `site` is x W + b.
void project_to_residual(ForwardPass& p, Site site, int layer, LinearArgs args, Mat residual,
                         Mat to) {
  if (p.hooks.edited(site, layer)) {
    args.out = p.act.branch;
    p.backend.linear(args);
    p.hooks.visit(site, layer, p.act.branch);
    p.backend.add(residual, p.act.branch, to);
  } else {
    args.residual = residual;
    args.out = to;
    args.before = p.hooks.tap(site, layer, p.act.branch);
    p.backend.linear(args);
    p.hooks.visit(site, layer, args.before);
  }
}

/// Each head's own share of the output projection: results[:, h, :] = z_h W_h.
void head_results(ForwardPass& p, int layer, Mat results) {
  const int64_t d = p.config.width, k = p.config.head_width();
  for (int head = 0; head < p.config.heads; ++head) {
    const PackedMatrix weight = p.layer_weights(layer).attn_out.inputs(head * k, k);
    p.backend.linear({.x = p.layer(layer).z.columns(head * k, k),
                      .weight = &weight,
                      .out = results.columns(head * d, d)});
  }
  p.hooks.visit(Site::kResult, layer, results);
}

/// attn_out as bias + the (edited) heads' results. Summed head by head, so it rounds otherwise than
/// the projection does.
void sum_results(ForwardPass& p, int layer, const float* bias) {
  const int64_t d = p.config.width;
  std::vector<int64_t> rows(static_cast<size_t>(p.act.branch.rows));
  std::iota(rows.begin(), rows.end(), int64_t{0});
  const Selection::Range all_columns{0, d};
  p.backend.edit({.x = p.act.branch,
                  .where = {rows, {&all_columns, 1}},
                  .kind = EditKind::kReplace,
                  .operand = Mat(const_cast<float*>(bias), 1, d)});
  for (int head = 0; head < p.config.heads; ++head)
    p.backend.add(p.act.branch, p.act.results.columns(head * d, d), p.act.branch);
  p.hooks.visit(Site::kAttnOut, layer, p.act.branch);
  p.backend.add(p.layer(layer).resid_pre, p.act.branch, p.layer(layer).resid_mid);
}

void attention_output(ForwardPass& p, int layer) {
  const LayerWeights& w = p.layer_weights(layer);
  const LayerActivations& a = p.layer(layer);
  if (p.hooks.edited(Site::kResult, layer)) {
    head_results(p, layer, p.act.results);
    return sum_results(p, layer, w.attn_out_bias);
  }
  if (p.hooks.watched(Site::kResult, layer))
    head_results(p, layer, p.hooks.tap(Site::kResult, layer, p.act.results));
  project_to_residual(p, Site::kAttnOut, layer,
                      {.x = a.z, .weight = &w.attn_out, .bias = w.attn_out_bias}, a.resid_pre,
                      a.resid_mid);
}

void attention(ForwardPass& p, int layer) {
  const LayerWeights& w = p.layer_weights(layer);
  const LayerActivations& a = p.layer(layer);
  linear_of_layernorm(p, norm1(p, layer), a.resid_pre,
                      {.x = p.act.normalized, .weight = &w.qkv, .bias = w.qkv_bias, .out = a.qkv});
  attend(p, layer);
  attention_output(p, layer);
}

void neurons(ForwardPass& p, int layer) {
  const LayerWeights& w = p.layer_weights(layer);
  const LayerActivations& a = p.layer(layer);
  const Norm norm = norm2(p, layer);
  LinearArgs args{.x = p.act.normalized, .weight = &w.mlp_in, .bias = w.mlp_in_bias};
  if (p.hooks.edited(Site::kMlpPre, layer)) {
    args.out = a.inner_pre;
    linear_of_layernorm(p, norm, a.resid_mid, args);
    p.hooks.visit(Site::kMlpPre, layer, a.inner_pre);
    p.backend.activate(a.inner_pre, p.activation, p.act.inner);
  } else {
    args.activation = p.activation;
    args.out = p.act.inner;
    args.before =
        p.act.keep == Keep::kNothing ? p.hooks.tap(Site::kMlpPre, layer, a.inner_pre) : a.inner_pre;
    linear_of_layernorm(p, norm, a.resid_mid, args);
    p.hooks.visit(Site::kMlpPre, layer, args.before);
  }
}

void mlp(ForwardPass& p, int layer) {
  const LayerWeights& w = p.layer_weights(layer);
  neurons(p, layer);
  p.hooks.visit(Site::kMlpPost, layer, p.act.inner);
  project_to_residual(p, Site::kMlpOut, layer,
                      {.x = p.act.inner, .weight = &w.mlp_out, .bias = w.mlp_out_bias},
                      p.layer(layer).resid_mid, p.act.resid_post(layer));
}

void unembed(ForwardPass& p) {
  const Norm norm = final_norm(p);
  const Mat resid = p.act.resid_final;
  const int64_t rows = resid.rows, wanted = static_cast<int64_t>(p.logit_rows.size());
  const bool watched = p.hooks.watched(norm.scale) || p.hooks.watched(norm.normalized);
  const Selection::Range all_columns{0, p.config.width};
  LinearArgs args{.x = p.act.normalized,
                  .weight = &p.weights.unembedding,
                  .bias = p.weights.unembedding_bias,
                  .out = p.logits};
  const auto select = [&](Mat from, Mat to) {
    p.backend.gather(from, {p.logit_rows, {&all_columns, 1}}, from.dtype, to.data);
  };
  if (wanted == rows) {
    linear_of_layernorm(p, norm, resid, args);
  } else if (watched) {
    layernorm(p, norm, resid, args.x);
    if (wanted == 0) return;
    select(args.x, p.act.selected_normalized);
    args.x = p.act.selected_normalized;
    p.backend.linear(args);
  } else {  // rows are independent: choosing them before the layernorm or after it is the same
    if (wanted == 0) return;
    select(resid, p.act.selected);
    args.x = p.act.selected_normalized;
    linear_of_layernorm(p, norm, p.act.selected, args);
  }
  p.hooks.visit(Site::kLogits, 0, p.logits);
}

}  // namespace

PassPoint pass_point(Site site, int layer, const Config& config) {
  if (site_info(site).per_layer) return {layer, site};
  return {site <= Site::kPosEmbed ? -1 : config.layers, site};
}

float ForwardPass::attention_scale(int l) const {
  const float scale =
      config.scale_attention ? 1.0f / std::sqrt(static_cast<float>(config.head_width())) : 1.0f;
  return config.scale_attention_by_inverse_layer ? scale / static_cast<float>(l + 1) : scale;
}

Norm norm1(const ForwardPass& p, int layer) {
  return {Site::kLn1Scale, Site::kLn1Normalized, layer, p.layer_weights(layer).ln1_weight,
          p.layer_weights(layer).ln1_bias};
}

Norm norm2(const ForwardPass& p, int layer) {
  return {Site::kLn2Scale, Site::kLn2Normalized, layer, p.layer_weights(layer).ln2_weight,
          p.layer_weights(layer).ln2_bias};
}

Norm final_norm(const ForwardPass& p) {
  return {Site::kLnFinalScale, Site::kLnFinalNormalized, 0, p.weights.ln_final_weight,
          p.weights.ln_final_bias};
}

void layernorm(ForwardPass& p, const Norm& n, Mat x, Mat out) {
  LayerNormArgs args = norm_args(p, n, x, out);
  if (p.hooks.edited(n.scale, n.layer)) {
    args.scale = p.act.scale;
    p.backend.layernorm_scale(x, args.epsilon, args.scale);
    p.hooks.visit(n.scale, n.layer, args.scale);
    p.backend.layernorm_apply(args);
  } else {
    args.scale = p.hooks.tap(n.scale, n.layer, p.act.scale);
    p.backend.layernorm(args);
    p.hooks.visit(n.scale, n.layer, args.scale);
  }
  p.hooks.visit(n.normalized, n.layer, out);
}

void forward(ForwardPass& p) {
  if (!p.begin_at) embed(p);
  for (int layer = p.begin_at.value_or(0); layer < p.config.layers; ++layer) {
    if (p.ended(Site::kResidPre, layer)) return;
    p.pause();
    p.hooks.visit(Site::kResidPre, layer, p.layer(layer).resid_pre);
    if (p.ended(Site::kLn1Scale, layer)) return;
    attention(p, layer);
    p.hooks.visit(Site::kResidMid, layer, p.layer(layer).resid_mid);
    if (p.ended(Site::kLn2Scale, layer)) return;
    mlp(p, layer);
    p.hooks.visit(Site::kResidPost, layer, p.act.resid_post(layer));
  }
  if (p.ended(Site::kLnFinalScale, 0)) return;
  unembed(p);
}

void recompute_block(ForwardPass& p, int layer) {
  attention(p, layer);
  p.hooks.visit(Site::kResidMid, layer, p.layer(layer).resid_mid);
  neurons(p, layer);
}

}  // namespace vitrine::internal
