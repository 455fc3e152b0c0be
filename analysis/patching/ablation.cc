// SPDX-License-Identifier: MIT
#include "vitrine/analysis/ablation.h"

#include <array>

#include "analysis/common/options.h"
#include "analysis/patching/metric.h"
#include "analysis/patching/sweep.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr std::array kAblationNames = {std::string_view("zero"), std::string_view("mean"),
                                       std::string_view("resample")};

Batch checked_others(const AblationOptions& options, size_t tokens) {
  const std::string_view name = ablation_name(options.ablation);
  if (options.ablation == Ablation::kZero) {
    if (!options.others.empty())
      user_error("zero ablation does not use other prompts, but {} are given; leave them out",
                 options.others.size());
    return {};
  }
  if (options.others.empty())
    user_error("missing prompts for {} ablation: expected {}", name,
               options.ablation == Ablation::kMean ? "some" : "one");
  if (options.ablation == Ablation::kMean) return options.others;
  if (options.others.size() > 1)
    user_error("resample ablation uses one other prompt: expected one, not {}",
               options.others.size());
  Batch one = {read_up_to(options.others[0], options.position, "other prompt")};
  if (one[0].size() != tokens)
    user_error(
        "the prompt has {} tokens, the one to resample from {}: expected prompts of the same "
        "length",
        tokens, one[0].size());
  return one;
}

PatchValues values_of(const AblationOptions& options, const BaseRun& base, const Batch& others) {
  if (options.ablation == Ablation::kZero)
    return std::make_shared<ZeroValues>(base.captures().on_host);
  Hooks hooks = options.edits.only_edits();
  for (const Site site : options.cells.sites) hooks.capture(site);
  const Run run = base.model().forward(
      others, hooks, {.logits = LogitRows::kNone, .residence = Residence::kDevice});
  BothCaptures captures(base.model(), run);
  if (options.ablation == Ablation::kMean) return std::make_shared<MeanValues>(*captures.on_host);
  return std::make_shared<RunValues>(std::move(captures));
}

}  // namespace

std::string_view ablation_name(Ablation ablation) {
  return kAblationNames[static_cast<size_t>(ablation)];
}

Ablation ablation_from_name(std::string_view name) {
  return value_named<Ablation>(kAblationNames, name, "ablation");
}

Ablations ablate(const Model& model, std::span<const int32_t> ids, const AblationOptions& options) {
  check_metric(options.metric, model.config());
  const std::vector<int32_t> prompt = read_up_to(ids, options.position, "prompt");
  const Batch others = checked_others(options, prompt.size());
  const PatchSweep sweep(options.cells, model.config(), static_cast<int64_t>(prompt.size()));
  BaseRun base(model, prompt, options.cells.sites, options.metric, options.batch_tokens,
               options.edits);
  CellProgress progress{options.progress, sweep.cells(), "Ablating"};
  std::vector<std::vector<double>> found =
      sweep.run(base, values_of(options, base, others), progress);

  Ablations result{.value = base.value(), .grids = sweep.grids(), .work = base.work()};
  for (const auto& other : others) add_whole_run(result.work, other.size(), model.config());
  for (size_t g = 0; g < found.size(); ++g) {
    for (const double value : found[g]) result.grids[g].effects.push_back(value - base.value());
    result.grids[g].values = std::move(found[g]);
  }
  return result;
}

}  // namespace vitrine
