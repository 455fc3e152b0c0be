// SPDX-License-Identifier: MIT
#include "vitrine/analysis/causal_trace.h"

#include <cmath>

#include "analysis/common/options.h"
#include "analysis/patching/metric.h"
#include "analysis/patching/sweep.h"
#include "base/random.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr int kMostDraws = 1000000;

void check(const TraceOptions& options) {
  if (options.subject.empty()) user_error("the subject is empty: expected at least one position");
  if (options.draws < 1 || options.draws > kMostDraws)
    user_error("invalid number of noise draws {}: expected 1..{}", options.draws, kMostDraws);
  if (!std::isfinite(options.noise) || options.noise < 0)
    user_error("noise of {} standard deviations is out of range: expected 0 or more",
               options.noise);
  if (options.spread && (!std::isfinite(*options.spread) || *options.spread < 0))
    user_error("spread {} is out of range: expected 0 or more", *options.spread);
}

double standard_deviation(std::span<const float> values) {
  double sum = 0, squares = 0;
  for (const float x : values) sum += static_cast<double>(x);
  const auto count = static_cast<double>(values.size());
  for (const float x : values)
    squares += (static_cast<double>(x) - sum / count) * (static_cast<double>(x) - sum / count);
  return std::sqrt(squares / count);
}

/// One draw: [subject, D].
Tensor noise_of(uint64_t seed, int draw, double deviation, int64_t rows, int64_t width) {
  Tensor noise(DType::kF32, {rows, width});
  const uint64_t key = mix64(mix64(seed) + static_cast<uint64_t>(draw));
  for (size_t i = 0; i < noise.f32().size(); ++i)
    noise.f32()[i] = static_cast<float>(deviation * standard_normal(key, i));
  return noise;
}

Run run_clean(const Model& model, const std::vector<int32_t>& ids, const TraceOptions& options) {
  Hooks hooks = options.edits.only_edits();
  hooks.capture(Site::kEmbed);
  for (const Site site : options.cells.sites) hooks.capture(site);
  return model.forward(ids, hooks, kInPlace);
}

/// Turns sums over the draws into means.
void finish(Trace& trace) {
  const auto draws = static_cast<double>(trace.draws.size());
  for (const double value : trace.draws) trace.corrupt += value / draws;
  for (PatchGrid& grid : trace.grids) {
    for (double& value : grid.values) {
      value /= draws;
      grid.effects.push_back(value - trace.corrupt);
    }
  }
}

}  // namespace

Trace causal_trace(const Model& model, std::span<const int32_t> ids, const TraceOptions& options) {
  check(options);
  check_metric(options.metric, model.config());
  const std::vector<int32_t> prompt = read_up_to(ids, options.position, "prompt");
  const auto tokens = static_cast<int64_t>(prompt.size());
  const auto subject = resolve_indices<int64_t>(options.subject, 0, tokens, "subject position",
                                                "positions up to where the metric is read");
  const PatchSweep sweep(options.cells, model.config(), tokens);
  const Run clean = run_clean(model, prompt, options);
  const BothCaptures captures(model, clean);

  Trace trace{.clean = finite_metric(options.metric, model.to_host(clean.logits()).f32(), model,
                                     prompt, options.edits),
              .draws = {},
              .subject = subject,
              .grids = sweep.grids(),
              .work = {}};
  trace.deviation =
      options.noise * (options.spread
                           ? *options.spread
                           : standard_deviation(captures.on_host->view(Site::kEmbed).f32()));
  add_whole_run(trace.work, prompt.size(), model.config());
  for (PatchGrid& grid : trace.grids)
    grid.values.assign(grid.layers.size() * grid.columns.size(), 0.0);
  CellProgress progress{options.progress, sweep.cells() * static_cast<uint64_t>(options.draws),
                        "Tracing"};
  for (int draw = 0; draw < options.draws; ++draw) {
    const Tensor noise = noise_of(options.seed, draw, trace.deviation,
                                  static_cast<int64_t>(subject.size()), model.config().width);
    BaseRun base(model, prompt, options.cells.sites, options.metric, options.batch_tokens,
                 options.edits.only_edits().edit(Site::kEmbed, add(noise), {.positions = subject}));
    const std::vector<std::vector<double>> found =
        sweep.run(base, std::make_shared<RunValues>(captures), progress);
    trace.draws.push_back(base.value());
    for (size_t g = 0; g < found.size(); ++g) {
      for (size_t i = 0; i < found[g].size(); ++i) trace.grids[g].values[i] += found[g][i];
    }
    trace.work.cells += base.work().cells;
    trace.work.computed += base.work().computed;
    trace.work.naive += base.work().naive;
  }
  finish(trace);
  return trace;
}

}  // namespace vitrine
