// SPDX-License-Identifier: MIT
#include "analysis/saliency/runs.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "analysis/common/batch_budget.h"
#include "analysis/common/model_output.h"
#include "analysis/common/options.h"
#include "vitrine/gradients.h"

namespace vitrine::internal {
namespace {

Target value_of(int32_t token, SaliencyValue value) {
  switch (value) {
    case SaliencyValue::kLogit:
      return target::logit(token);
    case SaliencyValue::kLogProb:
      return target::log_prob(token);
    case SaliencyValue::kProb:
      break;
  }
  return target::prob(token);
}

double value_of(double logit, double lse, SaliencyValue value) {
  if (value == SaliencyValue::kLogit) return logit;
  return value == SaliencyValue::kLogProb ? logit - lse : std::exp(logit - lse);
}

Batch batch_of(const std::vector<SaliencyInput>& inputs) {
  Batch batch;
  for (const SaliencyInput& input : inputs) batch.push_back(input.ids);
  return batch;
}

}  // namespace

void check_input_edits(const Hooks& edits, const Config& config, std::string_view analysis) {
  for (const Hooks::Change& change : edits.edits()) {
    if (!change.where.sequences.empty()) {
      user_error("invalid selection of sequences in the edit of '{}': not supported for {}",
                 change.sites.pattern(), analysis);
    }
    for (const SiteRef& site : find_sites(change.sites, config, change.where)) {
      if (site.site == Site::kEmbed) {
        user_error(
            "the edit of '{}' changes hook_embed, which {} varies: edit hook_pos_embed or "
            "blocks.0.hook_resid_pre",
            change.sites.pattern(), analysis);
      }
      if (site.site == Site::kLogits) {
        user_error(
            "the edit of '{}' changes logits, which {} does not read: edit "
            "ln_final.hook_normalized",
            change.sites.pattern(), analysis);
      }
    }
  }
}

SaliencyRuns::SaliencyRuns(const Model& model, const SaliencyOptions& options)
    : model_(model), options_(options), edits_(options.edits.only_edits()) {
  if (options.batch_tokens < 1)
    user_error("batch_tokens {} is out of range: expected at least 1", options.batch_tokens);
  check_input_edits(options.edits, model.config(), "saliency");
}

void SaliencyRuns::expect(uint64_t total, std::string_view label) {
  done_ = 0;
  total_ = total;
  label_ = label;
}

void SaliencyRuns::in_chunks(
    size_t count, const Make& make,
    const std::function<void(size_t, const std::vector<SaliencyInput>&)>& run) {
  std::vector<SaliencyInput> inputs;
  BatchBudget budget(options_.batch_tokens);
  size_t first = 0;
  const auto flush = [&] {
    if (inputs.empty()) return;
    run(first, inputs);
    first += inputs.size();
    done_ += inputs.size();
    inputs.clear();
    budget = BatchBudget(options_.batch_tokens);
    if (options_.progress && total_ > 0) options_.progress->update(done_, total_, label_);
  };
  for (size_t i = 0; i < count; ++i) {
    SaliencyInput input = make(i);
    if (!budget.takes(std::ssize(input.ids))) {
      flush();
      budget.takes(std::ssize(input.ids));
    }
    inputs.push_back(std::move(input));
  }
  flush();
}

Hooks SaliencyRuns::hooks_for(const std::vector<SaliencyInput>& inputs) const {
  Hooks hooks = edits_;
  for (size_t s = 0; s < inputs.size(); ++s) {
    const SaliencyInput& input = inputs[s];
    if (!input.positions.empty()) {
      hooks.edit(Site::kEmbed, replace(input.embeddings),
                 {.positions = input.positions, .sequences = {static_cast<int>(s)}});
    }
  }
  return hooks;
}

void SaliencyRuns::gradients(size_t count, const Make& make,
                             const std::function<void(size_t, std::span<const float>)>& use) {
  in_chunks(count, make, [&](size_t first, const std::vector<SaliencyInput>& inputs) {
    std::vector<Target> targets;
    for (const SaliencyInput& input : inputs) {
      Target f = value_of(input.target, options_.value);
      targets.push_back(input.contrast ? f - value_of(*input.contrast, options_.value) : f);
    }
    const Batch batch = batch_of(inputs);
    const Hooks hooks = hooks_for(inputs);
    const Backward backward =
        vitrine::backward(model_, batch, targets, Hooks(hooks).gradient(Site::kEmbed));
    require_finite(*backward.gradients, model_, batch, hooks, "the gradient");
    for (size_t s = 0; s < inputs.size(); ++s)
      use(first + s, backward.gradient(Site::kEmbed, 0, static_cast<int>(s)).f32());
  });
}

void SaliencyRuns::readings(size_t count, const Make& make,
                            const std::function<void(size_t, SaliencyReading)>& use) {
  in_chunks(count, make, [&](size_t first, const std::vector<SaliencyInput>& inputs) {
    read(inputs, first, use);
  });
}

void SaliencyRuns::read(const std::vector<SaliencyInput>& inputs, size_t first,
                        const std::function<void(size_t, SaliencyReading)>& use) {
  const Run run = model_.forward(
      batch_of(inputs), hooks_for(inputs).capture(Site::kLnFinalNormalized, {.positions = {-1}}),
      {.logits = LogitRows::kNone});
  const auto rows = static_cast<int64_t>(inputs.size()), width = model_.config().width;
  Tensor hidden(DType::kF32, {rows, width});
  for (int64_t s = 0; s < rows; ++s) {
    const std::span<const float> row =
        run.captures().view(Site::kLnFinalNormalized, 0, static_cast<int>(s)).f32();
    std::copy(row.begin(), row.end(), hidden.f32().begin() + s * width);
  }
  UnembedOptions unembed{.final_layernorm = false};
  for (const SaliencyInput& input : inputs) {
    unembed.targets.push_back(input.target);
    if (input.contrast && std::ranges::find(unembed.watch, *input.contrast) == unembed.watch.end())
      unembed.watch.push_back(*input.contrast);
  }
  // Targets are given for all inputs of a call, or for none.
  if (inputs[0].target < 0) {
    const LogitStats choice = model_.unembed(hidden, {.final_layernorm = false, .top_k = 1});
    require_distributions(choice, model_, batch_of(inputs), hooks_for(inputs), "the prediction");
    unembed.targets = choice.top_ids;
  }
  const LogitStats stats = model_.unembed(hidden, unembed);
  require_distributions(stats, model_, batch_of(inputs), hooks_for(inputs), "the prediction");
  for (size_t s = 0; s < inputs.size(); ++s) {
    const double logit = stats.target_logits[s], lse = stats.lse[s];
    const std::span<const float> row = hidden.view().slice(static_cast<int64_t>(s)).f32();
    SaliencyReading reading{.target = unembed.targets[s],
                            .rank = stats.target_ranks[s],
                            .logit = logit,
                            .log_prob = logit - lse,
                            .hidden = {row.begin(), row.end()}};
    reading.value = value_of(logit, lse, options_.value);
    if (inputs[s].contrast) {
      const auto watched = std::ranges::find(unembed.watch, *inputs[s].contrast);
      const size_t at =
          s * unembed.watch.size() + static_cast<size_t>(watched - unembed.watch.begin());
      reading.value -= value_of(stats.watch_logits[at], lse, options_.value);
    }
    use(first + s, std::move(reading));
  }
}

}  // namespace vitrine::internal
