// SPDX-License-Identifier: MIT
#include "analysis/attention/maps.h"

#include <algorithm>

#include "analysis/common/model_output.h"
#include "analysis/common/options.h"

namespace vitrine::internal {
namespace {

constexpr int64_t kFewestQueries =
    16;  // below that a pass costs more for its weights than for its tokens

}  // namespace

void walk_attention_maps(const Model& model, std::span<const int32_t> ids,
                         const std::vector<int>& layers, const std::vector<int>& heads,
                         const Hooks& edits, const std::function<void(const MapChunk&)>& see,
                         int64_t numbers_at_once, std::string_view finite) {
  check_edits_reach(edits, model.config(), pattern_sites(layers), "attention");
  const auto tokens = static_cast<int64_t>(ids.size());
  const auto maps = static_cast<int64_t>(layers.size() * heads.size());
  if (tokens > model.config().context) {  // the session would only say that its cache is full
    user_error("the text has {} tokens: expected at most {}, the model's context; shorten it",
               tokens, model.config().context);
  }
  const int64_t some = std::clamp(numbers_at_once / (maps * tokens), kFewestQueries,
                                  std::max(tokens, kFewestQueries));
  const int64_t step = edits.empty() ? some : tokens;
  Hooks hooks = edits;
  hooks.capture(Site::kPattern, {.layers = layers, .heads = heads});
  const HookPlan plan = model.compile(hooks);
  Session session = model.session(1, tokens);
  for (int64_t first = 0; first < tokens; first += step) {
    const int64_t count = std::min(step, tokens - first);
    const auto piece = ids.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    const Run run =
        session.forward({{piece.begin(), piece.end()}}, plan, {.logits = LogitRows::kNone});
    MapChunk chunk{.first_query = first, .queries = count, .keys = first + count};
    if (!finite.empty())
      require_finite(run.captures(), model, {{ids.begin(), ids.end()}}, edits, finite);
    for (const int layer : layers) chunk.maps.push_back(run.view(Site::kPattern, layer));
    see(chunk);
  }
}

std::vector<SiteRef> pattern_sites(const std::vector<int>& layers) {
  std::vector<SiteRef> sites;
  for (const int layer : layers)
    sites.push_back({Site::kPattern, layer, site_name(Site::kPattern, layer)});
  return sites;
}

std::vector<int> resolve_layers(const Model& model, const Indices<int>& asked) {
  return resolve_indices<int>(asked, 0, model.config().layers, "layer", "blocks of the model");
}

std::vector<int> resolve_heads(const Model& model, const Indices<int>& asked) {
  return resolve_indices<int>(asked, 0, model.config().heads, "head", "heads of a block");
}

}  // namespace vitrine::internal
