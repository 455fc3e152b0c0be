// SPDX-License-Identifier: MIT
#include "vitrine/analysis/patching.h"

#include <cmath>
#include <limits>
#include <numeric>

#include "analysis/common/options.h"
#include "analysis/patching/metric.h"
#include "analysis/patching/over_pairs.h"
#include "analysis/patching/sweep.h"

namespace vitrine {
using namespace internal;
namespace {

int64_t checked_partner(int64_t position, const std::vector<int32_t>& ids, std::string_view what) {
  const auto length = static_cast<int64_t>(ids.size());
  if (position >= 0 && position < length) return position;
  user_error("the alignment's position {} of the {} prompt is out of range: expected 0..{}",
             position, what, length - 1);
}

/// For each position of the base run the other run's; -1: none.
std::vector<int64_t> partners(const PromptPair& prompts, const PatchOptions& options) {
  const bool denoise = options.direction == PatchDirection::kDenoise;
  std::vector<int64_t> partner(prompts.base.size(), -1);
  if (options.alignment.empty()) {
    std::iota(partner.begin(), partner.end(), int64_t{0});
    return partner;
  }
  for (const Site site : options.cells.sites) {
    if (site_info(site).shape == SiteShape::kMap)
      user_error("cannot align site '{}', which is a map: expected prompts of the same length",
                 site_info(site).name);
  }
  std::vector<bool> taken(prompts.other.size());
  for (const auto& [clean, corrupt] : options.alignment) {
    const int64_t to =
        checked_partner(denoise ? corrupt : clean, prompts.base, denoise ? "corrupt" : "clean");
    const int64_t from =
        checked_partner(denoise ? clean : corrupt, prompts.other, denoise ? "clean" : "corrupt");
    if (partner[static_cast<size_t>(to)] >= 0 || taken[static_cast<size_t>(from)]) {
      user_error(
          "duplicate position in the alignment's pair {}:{}: expected each position at most once",
          clean, corrupt);
    }
    partner[static_cast<size_t>(to)] = from;
    taken[static_cast<size_t>(from)] = true;
  }
  return partner;
}

/// What a request comes to for two prompts.
struct Prepared {
  PromptPair prompts;
  PatchSweep sweep;
  std::vector<int64_t> partner;

  /// Throws Error (user) for whatever can be seen without a run.
  Prepared(const Config& config, std::span<const int32_t> clean, std::span<const int32_t> corrupt,
           const PatchOptions& options)
      : prompts(prompt_pair(clean, corrupt, options.position, options.direction,
                            !options.alignment.empty())),
        sweep(options.cells, config, static_cast<int64_t>(prompts.base.size())),
        partner(partners(prompts, options)) {}
};

Run run_other(const Model& model, const PromptPair& prompts, const PatchOptions& options) {
  Hooks hooks = options.edits.only_edits();
  for (const Site site : options.cells.sites) hooks.capture(site);
  return model.forward(prompts.other, hooks, kInPlace);
}

Backward gradients_of(const BaseRun& base, const PatchOptions& options) {
  Hooks hooks = options.edits.only_edits();
  for (const Site site : options.cells.sites) hooks.gradient(site);
  return backward(base.model(), {base.ids()}, {options.metric.target()}, hooks);
}

}  // namespace

double PatchGrid::correlation() const {
  const size_t count = std::min(effects.size(), estimates.size());
  const auto mean = [count](const std::vector<double>& x) {
    return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(count);
  };
  const double effect = mean(effects), estimate = mean(estimates);
  double products = 0, squares = 0, estimate_squares = 0;
  for (size_t i = 0; i < count; ++i) {
    products += (effects[i] - effect) * (estimates[i] - estimate);
    squares += (effects[i] - effect) * (effects[i] - effect);
    estimate_squares += (estimates[i] - estimate) * (estimates[i] - estimate);
  }
  if (squares == 0 || estimate_squares == 0) return std::numeric_limits<double>::quiet_NaN();
  return products / std::sqrt(squares * estimate_squares);
}

Patching patch(const Model& model, std::span<const int32_t> clean, std::span<const int32_t> corrupt,
               const PatchOptions& options) {
  check_metric(options.metric, model.config());
  const auto& [prompts, sweep, partner] = Prepared(model.config(), clean, corrupt, options);
  const Run other = run_other(model, prompts, options);
  BaseRun base(model, prompts.base, options.cells.sites, options.metric, options.batch_tokens,
               options.edits);
  const MetricScale scale =
      metric_scale(base.value(),
                   finite_metric(options.metric, model.to_host(other.logits()).f32(), model,
                                 prompts.other, options.edits),
                   options.direction, options.metric);
  const auto values = std::make_shared<RunValues>(BothCaptures(model, other), 0, partner);

  Patching result{
      .clean = scale.clean, .corrupt = scale.corrupt, .grids = sweep.grids(), .work = {}};
  if (options.exact) {
    CellProgress progress{options.progress, sweep.cells(), "Patching"};
    std::vector<std::vector<double>> found = sweep.run(base, values, progress);
    for (size_t g = 0; g < found.size(); ++g) {
      result.grids[g].effects = scale.rescaled(found[g]);
      result.grids[g].values = std::move(found[g]);
    }
  }
  if (options.attribution) {
    std::vector<std::vector<double>> found =
        sweep.estimate(base, values, *gradients_of(base, options).gradients);
    for (size_t g = 0; g < found.size(); ++g) {
      for (double& change : found[g]) change += base.value();
      result.grids[g].estimates = scale.rescaled(std::move(found[g]));
    }
  }
  result.work = base.work();
  add_whole_run(result.work, prompts.other.size(), model.config());
  return result;
}

OverPairs<Patching> patch_pairs(const Model& model, std::span<const PatchPair> pairs,
                                const PatchOptions& options) {
  size_t tokens = 0;
  const auto check = [&](size_t i) {
    const Prepared prepared(model.config(), pairs[i].clean, pairs[i].corrupt, options);
    const size_t found = prepared.prompts.base.size();
    if (i > 0 && found != tokens && options.cells.over == PatchOver::kPositions)
      user_error(
          "the prompt has {} tokens, that of the first pair {}: expected the same number, "
          "because columns are positions",
          found, tokens);
    tokens = found;
  };
  return over_pairs(model, pairs, options, check,
                    [&](const PatchPair& pair, const PatchOptions& own) {
                      return patch(model, pair.clean, pair.corrupt, own);
                    });
}

}  // namespace vitrine
