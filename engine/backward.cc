// SPDX-License-Identifier: MIT
#include "engine/backward.h"

#include <algorithm>
#include <numeric>
#include <vector>

// Read backward() at the end first, beside forward.cc's. `grad.resid` is the gradient with respect
// to the residual stream, which every branch adds to. At each site, in this order: what targets
// give there is added, the gradient is kept where it was requested, and the edits' adjoints turn it
// into the gradient with respect to what was there before the edits.

namespace vitrine::internal {
namespace {

/// Whether the gradient changes at a site, so that it cannot stay inside a fused operation.
bool changed(const BackwardPass& p, Site site, int layer) {
  return p.seeds.watched(site, layer) || p.gradients.edited(site, layer);
}

void visit(BackwardPass& p, Site site, int layer, Mat g) {
  p.seeds.visit(site, layer, g);
  p.gradients.visit(site, layer, g);
}

void visit_map(BackwardPass& p, Site site, int layer, float* map) {
  p.seeds.visit_map(site, layer, map);
  p.gradients.visit_map(site, layer, map);
}

/// The same numbers in the type of products.
Mat narrowed(BackwardPass& p, Mat g) {
  if (!p.grad.narrow) return g;
  p.forward.backend.convert(g, p.grad.narrow);
  return p.grad.narrow;
}

/// The gradient with respect to what a branch has added to the residual stream, which keeps its
/// own.
Mat branch_gradient(BackwardPass& p, Site site, int layer) {
  Mat g = p.grad.resid;
  if (changed(p, site, layer)) {
    p.forward.backend.convert(g, p.grad.branch);
    g = p.grad.branch;
  }
  visit(p, site, layer, g);
  return g;
}

/// From the gradient of a layernorm's output, in grad.normalized, to that of the residual stream,
/// which it is added to.
void layernorm(BackwardPass& p, const Norm& norm, Mat x) {
  Backend& backend = p.forward.backend;
  visit(p, norm.normalized, norm.layer, p.grad.normalized);
  LayerNormBackwardArgs args{
      .x = x, .weight = norm.weight, .epsilon = p.forward.config.layer_norm_epsilon};
  args.frozen = p.linearised.scales;
  args.dy = p.grad.normalized;
  args.residual = args.dx = p.grad.resid;
  if (p.forward.hooks.edited(norm.scale, norm.layer)) {
    args.scale = p.forward.act.scale;
    backend.layernorm_scale(x, args.epsilon, args.scale);
    p.forward.hooks.visit(norm.scale, norm.layer, args.scale);
  }
  if (changed(p, norm.scale, norm.layer)) {
    args.dscale = p.grad.scale;
    backend.layernorm_backward_scale(args);
    visit(p, norm.scale, norm.layer, args.dscale);
    backend.layernorm_backward_apply(args);
  } else {
    args.dscale = p.gradients.tap(norm.scale, norm.layer, p.grad.scale);
    backend.layernorm_backward(args);
    p.gradients.visit(norm.scale, norm.layer, args.dscale);
  }
}

// --- logits

/// Rows [first, first + count) of the terms' rows: their logits, seeds and what these give for the
/// final layernorm's output.
void seed_rows(BackwardPass& p, Mat normalized, std::span<const int64_t> rows,
               std::span<const LogitTerm> terms, std::span<double> values) {
  ForwardPass& f = p.forward;
  const auto count = static_cast<int64_t>(rows.size());
  const Selection::Range all_columns{0, f.config.width};
  const Selection where{rows, {&all_columns, 1}};
  const Mat chosen = p.grad.target_normalized.row_range(0, count),
            logits = p.grad.target_logits.row_range(0, count);
  const Mat seeds = p.grad.target_seeds.row_range(0, count),
            gradient = p.grad.target_gradient.row_range(0, count);
  f.backend.gather(normalized, where, chosen.dtype, chosen.data);
  f.backend.linear({.x = chosen,
                    .weight = &f.weights.unembedding,
                    .bias = f.weights.unembedding_bias,
                    .out = logits});
  std::vector<LogitTerm> own(terms.begin(), terms.end());
  for (LogitTerm& term : own)
    term.row = std::lower_bound(rows.begin(), rows.end(), term.row) - rows.begin();
  LogitTargetArgs args{
      .logits = logits, .terms = own, .references = p.references, .seed = seeds, .values = values};
  if (p.grad.seeds) {  // logits are watched: all rows are here
    f.hooks.visit(Site::kLogits, 0, logits);
    args.seed = p.grad.seeds;
    f.backend.logit_targets(args);
    visit(p, Site::kLogits, 0, args.seed);
    if (args.seed.data != seeds.data) f.backend.convert(args.seed, seeds);
  } else {
    f.backend.logit_targets(args);
  }
  f.backend.linear_backward({.dy = seeds, .weight = &f.weights.unembedding, .dx = gradient});
  f.backend.scatter(gradient.f32(), where, p.grad.normalized);
}

std::vector<int64_t> rows_of(std::span<const LogitTerm> terms) {
  std::vector<int64_t> rows;
  for (const LogitTerm& term : terms) {
    if (rows.empty() || rows.back() != term.row) rows.push_back(term.row);
  }
  return rows;
}

void unembed(BackwardPass& p) {
  ForwardPass& f = p.forward;
  const Norm norm = final_norm(f);
  f.backend.clear(p.grad.normalized.data,
                  static_cast<size_t>(p.grad.normalized.rows * p.grad.normalized.cols) *
                      dtype_size(p.grad.normalized.dtype));
  std::vector<int64_t> rows = rows_of(p.terms);
  if (p.grad.seeds) {
    rows.resize(static_cast<size_t>(p.grad.resid.rows));
    std::iota(rows.begin(), rows.end(), int64_t{0});
  }
  if (!rows.empty()) layernorm(f, norm, f.act.resid_final, f.act.normalized);
  const auto at_once = static_cast<size_t>(p.grad.target_logits.rows);
  size_t term = 0;
  for (size_t first = 0; first < rows.size(); first += at_once) {
    const std::span<const int64_t> some =
        std::span(rows).subspan(first, std::min(at_once, rows.size() - first));
    const size_t begin = term;
    while (term < p.terms.size() && p.terms[term].row <= some.back()) ++term;
    seed_rows(p, f.act.normalized, some, p.terms.subspan(begin, term - begin),
              p.values.subspan(begin, term - begin));
  }
  layernorm(p, norm, f.act.resid_final);
}

// --- blocks

void mlp(BackwardPass& p, int layer) {
  ForwardPass& f = p.forward;
  const LayerWeights& w = f.layer_weights(layer);
  LinearBackwardArgs args{.dy = narrowed(p, branch_gradient(p, Site::kMlpOut, layer)),
                          .weight = &w.mlp_out};
  if (changed(p, Site::kMlpPost, layer)) {
    args.dx = p.grad.inner_post;
    f.backend.linear_backward(args);
    visit(p, Site::kMlpPost, layer, p.grad.inner_post);
    f.backend.activate_backward(p.grad.inner_post, f.layer(layer).inner_pre, f.activation,
                                p.grad.inner);
  } else {
    args.activation = f.activation;
    args.before = f.layer(layer).inner_pre;
    args.dx = p.grad.inner;
    args.product = p.gradients.tap(Site::kMlpPost, layer, p.grad.inner_post);
    f.backend.linear_backward(args);
    p.gradients.visit(Site::kMlpPost, layer, args.product);
  }
  visit(p, Site::kMlpPre, layer, p.grad.inner);
  f.backend.linear_backward({.dy = p.grad.inner, .weight = &w.mlp_in, .dx = p.grad.normalized});
  layernorm(p, norm2(f, layer), f.layer(layer).resid_mid);
}

/// Through each head's own share of the output projection; `g` is the gradient of each of them.
void results_to_z(BackwardPass& p, int layer, Mat g) {
  ForwardPass& f = p.forward;
  const int64_t d = f.config.width, k = f.config.head_width();
  for (int head = 0; head < f.config.heads; ++head)
    f.backend.convert(g, p.grad.results.columns(head * d, d));
  visit(p, Site::kResult, layer, p.grad.results);
  if (!changed(p, Site::kResult, layer)) return;
  for (int head = 0; head < f.config.heads; ++head) {
    const PackedMatrix weight = f.layer_weights(layer).attn_out.inputs(head * k, k);
    f.backend.linear_backward({.dy = narrowed(p, p.grad.results.columns(head * d, d)),
                               .weight = &weight,
                               .dx = p.grad.z.columns(head * k, k)});
  }
}

void attention_output(BackwardPass& p, int layer) {
  ForwardPass& f = p.forward;
  const Mat g = branch_gradient(p, Site::kAttnOut, layer);
  if (p.gradients.watched(Site::kResult, layer) || p.seeds.watched(Site::kResult, layer))
    results_to_z(p, layer, g);
  if (!changed(p, Site::kResult, layer)) {
    f.backend.linear_backward(
        {.dy = narrowed(p, g), .weight = &f.layer_weights(layer).attn_out, .dx = p.grad.z});
  }
  visit(p, Site::kZ, layer, p.grad.z);
}

/// Through whole maps, made again with their edits: where an edit or a target sits inside
/// attention.
void attend_composed(BackwardPass& p, int layer, AttentionBackwardArgs args) {
  ForwardPass& f = p.forward;
  std::byte* cache = f.cache.layer(layer);
  f.backend.append_kv(args.k, args.v, args.heads, args.head_width, f.batch, cache);
  AttentionArgs again{.q = args.q,
                      .heads = args.heads,
                      .head_width = args.head_width,
                      .scale = args.scale,
                      .batch = &f.batch,
                      .window = args.window,
                      .cache = cache};
  again.scores = p.grad.scores;
  again.pattern = p.grad.pattern;
  f.backend.attention_scores(again);
  f.hooks.visit_map(Site::kAttnScores, layer, again.scores);
  f.backend.attention_softmax(again);
  float* used = again.pattern;
  if (f.hooks.edited(Site::kPattern, layer)) {
    used = again.pattern = p.grad.edited_pattern;
    f.backend.attention_softmax(again);
    f.hooks.visit_map(Site::kPattern, layer, used);
  }
  args.dpattern = p.grad.dpattern;
  f.backend.attention_backward_pattern(args);
  visit_map(p, Site::kPattern, layer, args.dpattern);
  if (!args.frozen) {
    args.pattern = p.grad.pattern;
    args.dscores = p.grad.scores;
    f.backend.attention_backward_scores(args);
    visit_map(p, Site::kAttnScores, layer, args.dscores);
  }
  args.pattern = used;
  f.backend.attention_backward_inputs(args);
}

void attend(BackwardPass& p, int layer) {
  ForwardPass& f = p.forward;
  const int64_t d = f.config.width;
  const LayerActivations& a = f.layer(layer);
  AttentionBackwardArgs args{
      .q = a.qkv.columns(0, d), .k = a.qkv.columns(d, d), .v = a.qkv.columns(2 * d, d)};
  args.heads = f.config.heads;
  args.head_width = static_cast<int>(f.config.head_width());
  args.scale = f.attention_scale(layer);
  args.batch = &f.batch;
  args.window = f.config.window(layer);
  args.z = a.z;
  args.lse = a.lse;
  args.dz = p.grad.z;
  args.frozen = p.linearised.patterns;
  args.dq = p.grad.qkv.columns(0, d);
  args.dk = p.grad.qkv.columns(d, d);
  args.dv = p.grad.qkv.columns(2 * d, d);
  const bool inside = f.hooks.edited(Site::kAttnScores, layer) ||
                      f.hooks.edited(Site::kPattern, layer) ||
                      changed(p, Site::kAttnScores, layer) || changed(p, Site::kPattern, layer);
  const bool z_lost = f.backend.reads_attention_output() && f.hooks.edited(Site::kZ, layer);
  if (inside || z_lost) {
    attend_composed(p, layer, args);
  } else {
    args.dpattern = p.gradients.tap_map(Site::kPattern, layer, p.grad.dpattern);
    args.dscores = p.gradients.tap_map(Site::kAttnScores, layer, p.grad.scores);
    f.backend.attention_backward(args);
    p.gradients.visit_map(Site::kPattern, layer, args.dpattern);
    p.gradients.visit_map(Site::kAttnScores, layer, args.dscores);
  }
  visit(p, Site::kQ, layer, args.dq);
  visit(p, Site::kK, layer, args.dk);
  visit(p, Site::kV, layer, args.dv);
}

void attention(BackwardPass& p, int layer) {
  ForwardPass& f = p.forward;
  attention_output(p, layer);
  attend(p, layer);
  f.backend.linear_backward(
      {.dy = p.grad.qkv, .weight = &f.layer_weights(layer).qkv, .dx = p.grad.normalized});
  layernorm(p, norm1(f, layer), f.layer(layer).resid_pre);
}

void embed(BackwardPass& p) {
  branch_gradient(p, Site::kPosEmbed, 0);
  visit(p, Site::kEmbed, 0, p.grad.resid);
}

/// Whether nothing is requested before this point of a block.
bool done(const BackwardPass& p, Site site, int layer) { return p.first >= PassPoint{layer, site}; }

}  // namespace

void backward(BackwardPass& p) {
  ForwardPass& f = p.forward;
  const Mat g = p.grad.resid;
  f.backend.clear(g.data, static_cast<size_t>(g.rows * g.cols) * sizeof(float));
  if (p.last.depth == f.config.layers) unembed(p);
  for (int layer = std::min(p.last.depth, f.config.layers - 1); layer >= 0; --layer) {
    f.pause();
    visit(p, Site::kResidPost, layer, g);
    if (done(p, Site::kResidPost, layer)) return;
    if (f.act.keep == Keep::kResiduals) recompute_block(f, layer);
    mlp(p, layer);
    visit(p, Site::kResidMid, layer, g);
    if (done(p, Site::kResidMid, layer)) return;
    attention(p, layer);
    visit(p, Site::kResidPre, layer, g);
    if (done(p, Site::kResidPre, layer)) return;
  }
  embed(p);
}

}  // namespace vitrine::internal
