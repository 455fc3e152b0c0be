#include "engine/activations.h"

namespace vitrine {
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

Activations::Activations(Arena& arena, const Config& config, const Plan& plan, DType dtype, int64_t rows, int64_t logit_rows, int64_t map_elements) {
  const int64_t d = config.width;
  resid = arena.take(rows, d);
  normalized = arena.take(rows, d, dtype);
  qkv = arena.take(rows, 3 * d, dtype);
  z = arena.take(rows, d, dtype);
  inner = arena.take(rows, config.inner, dtype);
  if (logit_rows < rows) {
    selected = arena.take(logit_rows, d);
    selected_normalized = arena.take(logit_rows, d, dtype);
  }
  if (any_watched(plan, {Site::kEmbed, Site::kPosEmbed, Site::kAttnOut, Site::kMlpOut, Site::kResult})) branch = arena.take(rows, d);
  if (any_watched(plan, {Site::kLn1Scale, Site::kLn2Scale, Site::kLnFinalScale})) scale = arena.take(rows, 1);
  if (plan.any_watched(Site::kMlpPre)) inner_pre = arena.take(rows, config.inner);
  if (plan.any_watched(Site::kResult)) results = arena.take(rows, config.heads * d);
  const bool maps_edited = edits_maps(plan);
  if (maps_edited || plan.any_watched(Site::kAttnScores)) scores = arena.take(map_elements);
  if (maps_edited || plan.any_watched(Site::kPattern)) pattern = arena.take(map_elements);
}

}  // namespace vitrine
