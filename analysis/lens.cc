#include "vitrine/lens.h"

#include <algorithm>
#include <numeric>
#include <string>

#include "analysis/options.h"

namespace vitrine {
namespace {

/// Where h_l can be read. The last row is read behind the final layernorm: that is the model's own output, edits there
/// included.
std::string residual_site(int layer, const Config& config) {
  if (layer == 0) return site_name(Site::kResidPre, 0);
  if (layer == config.layers) return site_name(Site::kLnFinalNormalized, 0);
  return site_name(Site::kResidPost, layer - 1);
}

Run run_text(const Model& model, std::span<const int32_t> ids, const Lens& lens, const LensOptions& options) {
  Hooks hooks = edits_of(options.edits);
  const std::string last = residual_site(model.config().layers, model.config());
  for (const int layer : lens.layers) {
    const std::string site = residual_site(layer, model.config());
    if (site != last) hooks.capture(site, {.positions = lens.positions});
  }
  hooks.capture(last, {.positions = lens.positions});  // always: the default target is the model's own choice
  return model.forward(ids, hooks, {.logits = LogitRows::kNone});
}

/// The next token of each position; behind the end of the text what was asked for, or else what the model thinks likeliest.
std::vector<int32_t> find_targets(const Model& model, const Run& run, const Lens& lens, const LensOptions& options) {
  std::vector<int32_t> targets;
  const auto length = static_cast<int64_t>(lens.ids.size());
  for (size_t p = 0; p < lens.positions.size(); ++p) {
    const int64_t next = lens.positions[p] + 1;
    if (next < length) {
      targets.push_back(lens.ids[static_cast<size_t>(next)]);
    } else if (options.target) {
      targets.push_back(*options.target);
    } else {
      const TensorView row = run[residual_site(model.config().layers, model.config())].slice(static_cast<int64_t>(p));
      targets.push_back(model.unembed(row, {.final_layernorm = false, .top_k = 1}).top_ids[0]);
    }
  }
  return targets;
}

/// Appends one row of the picture. `width` values of `logits` belong to each position.
void append_log_probs(std::vector<double>& to, const std::vector<float>& logits, const std::vector<float>& lse, size_t width) {
  for (size_t i = 0; i < logits.size(); ++i) to.push_back(static_cast<double>(logits[i]) - static_cast<double>(lse[i / width]));
}

void append_row(Lens& lens, const LogitStats& stats) {
  lens.top_k = stats.top_k;
  lens.top_ids.insert(lens.top_ids.end(), stats.top_ids.begin(), stats.top_ids.end());
  lens.target_ranks.insert(lens.target_ranks.end(), stats.target_ranks.begin(), stats.target_ranks.end());
  lens.watch_ranks.insert(lens.watch_ranks.end(), stats.watch_ranks.begin(), stats.watch_ranks.end());
  lens.entropies.insert(lens.entropies.end(), stats.entropy.begin(), stats.entropy.end());
  append_log_probs(lens.top_log_probs, stats.top_logits, stats.lse, static_cast<size_t>(stats.top_k));
  append_log_probs(lens.target_log_probs, stats.target_logits, stats.lse, 1);
  append_log_probs(lens.watch_log_probs, stats.watch_logits, stats.lse, lens.watch.size());
}

}  // namespace

std::string_view lens_mode_name(LensMode mode) { return mode == LensMode::kEcco ? "ecco" : "normalized"; }

LensMode lens_mode_from_name(std::string_view name) {
  for (const LensMode mode : {LensMode::kNormalized, LensMode::kEcco}) {
    if (name == lens_mode_name(mode)) return mode;
  }
  user_error("lens mode '{}' is not known; use normalized or ecco", name);
}

Lens lens(const Model& model, std::span<const int32_t> ids, const LensOptions& options) {
  const Config& config = model.config();
  if (ids.empty()) user_error("the text has no tokens to look at; give at least one");
  if (options.top_k < 0) user_error("top_k {} is negative; use 0 for none", options.top_k);
  for (const int32_t id : options.watch) check_id(config, id, "watched id");
  if (options.target) check_id(config, *options.target, "target");

  Lens lens;
  lens.mode = options.mode;
  lens.ids.assign(ids.begin(), ids.end());
  lens.watch = options.watch;
  lens.layers = resolve_indices<int>(options.layers, options.mode == LensMode::kEcco ? 1 : 0, config.layers + 1, "layer", "rows of this mode");
  lens.positions = resolve_indices<int64_t>(options.positions, 0, static_cast<int64_t>(ids.size()), "position", "positions of the text");
  const Run run = run_text(model, ids, lens, options);
  lens.targets = find_targets(model, run, lens, options);

  const uint64_t cells = lens.layers.size() * lens.positions.size();
  for (const int layer : lens.layers) {
    const bool normalize = layer < config.layers && options.mode == LensMode::kNormalized;
    append_row(lens, model.unembed(run[residual_site(layer, config)],
                                   {.final_layernorm = normalize, .top_k = options.top_k, .targets = lens.targets, .watch = options.watch}));
    if (options.progress) options.progress->update(lens.target_ranks.size(), cells, "Lens");
  }
  return lens;
}

}  // namespace vitrine
