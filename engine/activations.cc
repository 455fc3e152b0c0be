// SPDX-License-Identifier: MIT
#include "engine/activations.h"

namespace vitrine::internal {
namespace {

/// Whether any layer edits a map: then the composed path needs both.
bool edits_maps(const Plan& plan) {
  for (const PlannedEdit& edit : plan.edits()) {
    if (site_info(edit.site).shape == SiteShape::kMap) return true;
  }
  return false;
}

bool any_watched(const Plan& plan, std::initializer_list<Site> sites) {
  for (Site site : sites) {
    if (plan.any_watched(site)) return true;
  }
  return false;
}

}  // namespace

Activations::Activations(Arena& arena, const Config& config, const Plan& plan,
                         const Backend& backend, DType dtype, const Sizes& sizes, Keep what)
    : keep(what) {
  const int64_t d = config.width, rows = sizes.rows;
  take_layers(arena, config, plan.any_watched(Site::kMlpPre), backend, dtype, rows);
  normalized = arena.take(rows, d, dtype);
  inner = arena.take(rows, config.inner, dtype);
  if (sizes.logit_rows < rows) {
    selected = arena.take(sizes.logit_rows, d);
    selected_normalized = arena.take(sizes.logit_rows, d, dtype);
  }
  if (any_watched(plan,
                  {Site::kEmbed, Site::kPosEmbed, Site::kAttnOut, Site::kMlpOut, Site::kResult}))
    branch = arena.take(rows, d);
  if (any_watched(plan, {Site::kLn1Scale, Site::kLn2Scale, Site::kLnFinalScale}))
    scale = arena.take(rows, 1);
  if (plan.any_watched(Site::kResult)) results = arena.take(rows, config.heads * d);
  const bool maps_edited = edits_maps(plan);
  if (maps_edited || plan.any_watched(Site::kAttnScores)) scores = arena.take(sizes.map_elements);
  if (maps_edited || plan.any_watched(Site::kPattern)) pattern = arena.take(sizes.map_elements);
}

void Activations::write_stream_to_captures(const HookRun& hooks) {
  const auto place = [&](Site site, int layer, const Mat& own) {
    const Mat there = hooks.tap(site, layer, own);
    return there ? there : own;
  };
  const int count = static_cast<int>(layers.size());
  for (int l = 0; l < count; ++l) {
    LayerActivations& layer = layers[static_cast<size_t>(l)];
    // What one block leaves is what the next one takes, unless an edit lies between.
    if (l > 0 && !hooks.edited(Site::kResidPre, l))
      layer.resid_pre = place(Site::kResidPost, l - 1, layer.resid_pre);
    layer.resid_pre = place(Site::kResidPre, l, layer.resid_pre);
    layer.resid_mid = place(Site::kResidMid, l, layer.resid_mid);
  }
  resid_final = place(Site::kResidPost, count - 1, resid_final);
}

void Activations::take_layers(Arena& arena, const Config& config, bool any_inner_pre,
                              const Backend& backend, DType dtype, int64_t rows) {
  const int64_t d = config.width;
  const bool reads_output = keep != Keep::kNothing && backend.reads_attention_output();
  LayerActivations layer;
  for (int l = 0; l < config.layers; ++l) {
    if (l == 0 || keep != Keep::kNothing) layer.resid_pre = arena.take(rows, d);
    if (l == 0 || keep == Keep::kAll) {
      layer.resid_mid = keep == Keep::kNothing ? layer.resid_pre : arena.take(rows, d);
      layer.qkv = arena.take(rows, 3 * d, dtype);
      if (l == 0 || reads_output) layer.z = arena.take(rows, d, dtype);
      if (reads_output) layer.lse = arena.take(rows, config.heads);
      if (keep != Keep::kNothing || any_inner_pre) layer.inner_pre = arena.take(rows, config.inner);
    }
    layers.push_back(layer);
  }
  resid_final = keep == Keep::kNothing ? layer.resid_pre : arena.take(rows, d);
}

}  // namespace vitrine::internal
