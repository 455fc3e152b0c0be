// SPDX-License-Identifier: MIT
#include "vitrine/analysis/saliency.h"

#include <array>
#include <string>
#include <utility>

#include "analysis/common/options.h"
#include "analysis/saliency/steps.h"

namespace vitrine {
using namespace internal;
namespace {

constexpr std::array<std::pair<SaliencyMethod, std::string_view>, 6> kMethods = {
    {{SaliencyMethod::kGradXInput, "grad-x-input"},
     {SaliencyMethod::kGradientNorm, "gradient-norm"},
     {SaliencyMethod::kSmoothGrad, "smooth-grad"},
     {SaliencyMethod::kIntegratedGradients, "integrated-gradients"},
     {SaliencyMethod::kOcclusion, "occlusion"},
     {SaliencyMethod::kSpanOcclusion, "span-occlusion"}}};
constexpr std::array<std::pair<SaliencyValue, std::string_view>, 3> kValues = {
    {{SaliencyValue::kLogit, "logit"},
     {SaliencyValue::kLogProb, "log-prob"},
     {SaliencyValue::kProb, "prob"}}};

/// The tokens of the steps; empty for the one step whose token the model chooses.
std::vector<int32_t> step_tokens(const Model& model, std::span<const int32_t> prompt,
                                 const SaliencyOptions& options) {
  if (options.target) return {*options.target};
  if (!options.generate) return options.continuation;
  if (options.generate->max_new_tokens < 1) {
    user_error("invalid generation of {} tokens: expected 1 or more",
               options.generate->max_new_tokens);
  }
  return generate(model, {{prompt.begin(), prompt.end()}}, *options.generate,
                  options.edits.only_edits())
      .sequences[0]
      .ids;
}

void check(const Config& config, std::span<const int32_t> prompt, const SaliencyOptions& options) {
  if (prompt.empty()) user_error("the prompt is empty: expected at least one token");
  if (options.target.has_value() + !options.continuation.empty() + options.generate.has_value() >
      1) {
    user_error("more than one of target, continuation and generation: expected at most one");
  }
  for (const int32_t id : prompt) check_id(config, id, "prompt's token id");
  for (const int32_t id : options.continuation) check_id(config, id, "continuation's token id");
  if (options.target) check_id(config, *options.target, "target");
  if (options.contrast) check_id(config, *options.contrast, "contrast");
  if (options.contrast && !options.contrast_text.empty())
    user_error("both `contrast` and `contrast_text`: expected at most one");
  for (const int32_t id : options.contrast_text) check_id(config, id, "contrast text's token id");
  const auto length = static_cast<int64_t>(prompt.size()),
             steps = static_cast<int64_t>(options.continuation.size());
  if (length > config.context)
    user_error("the prompt has {} tokens: expected at most {}, the model's context; shorten it",
               length, config.context);
  if (length + steps > config.context + 1) {
    user_error(
        "the prompt's {} tokens and the continuation's {} exceed the model's context of {}, which "
        "only the last token may exceed; shorten one of them",
        length, steps, config.context);
  }
}

/// Throws Error (user) for a contrast text that is not aligned with the steps.
void check_contrasts(const SaliencyOptions& options, const std::vector<int32_t>& tokens) {
  const size_t steps = std::max<size_t>(tokens.size(), 1);
  if (options.contrast_text.empty() || options.contrast_text.size() == steps) return;
  const char* what = options.generate               ? "the generated text"
                     : options.continuation.empty() ? "the target"
                                                    : "the continuation";
  user_error(
      "`contrast_text` has {} tokens and {} {}: expected one for each token; change one of the two",
      options.contrast_text.size(), what, steps);
}

/// Input of each step, and the model's prediction after it.
void read_steps(SaliencyWork& work, std::span<const int32_t> prompt,
                const std::vector<int32_t>& tokens) {
  Saliency& result = work.result;
  result.ids.assign(prompt.begin(), prompt.end());
  if (!tokens.empty()) result.ids.insert(result.ids.end(), tokens.begin(), tokens.end() - 1);
  result.steps.resize(std::max<size_t>(tokens.size(), 1));
  for (size_t step = 0; step < result.steps.size(); ++step) {
    result.steps[step].inputs = result.prompt + static_cast<int64_t>(step);
    result.steps[step].target = tokens.empty() ? -1 : tokens[step];
  }
  work.hidden.resize(result.steps.size());
  work.runs.readings(
      result.steps.size(), [&](size_t step) { return work.input(step); },
      [&](size_t step, SaliencyReading reading) {
        SaliencyStep& found = result.steps[step];
        found = {.inputs = found.inputs,
                 .target = reading.target,
                 .rank = reading.rank,
                 .logit = reading.logit,
                 .log_prob = reading.log_prob,
                 .value = reading.value};
        work.hidden[step] = std::move(reading.hidden);
      });
}

void run(SaliencyWork& work) {
  switch (work.options.method) {
    case SaliencyMethod::kGradXInput:
      return grad_x_input(work);
    case SaliencyMethod::kGradientNorm:
      return gradient_norm(work);
    case SaliencyMethod::kSmoothGrad:
      return smooth_grad(work);
    case SaliencyMethod::kIntegratedGradients:
      return integrated_gradients(work);
    case SaliencyMethod::kOcclusion:
      return occlusion(work);
    case SaliencyMethod::kSpanOcclusion:
      return span_occlusion(work);
  }
}

}  // namespace

std::string_view saliency_method_name(SaliencyMethod method) {
  return kMethods[static_cast<size_t>(method)].second;
}

SaliencyMethod saliency_method_from_name(std::string_view name) {
  for (const auto& [method, known] : kMethods) {
    if (name == known) return method;
  }
  user_error(
      "unknown saliency method '{}': expected grad-x-input, gradient-norm, smooth-grad, "
      "integrated-gradients, occlusion or span-occlusion",
      name);
}

std::string_view saliency_value_name(SaliencyValue value) {
  return kValues[static_cast<size_t>(value)].second;
}

SaliencyValue saliency_value_from_name(std::string_view name) {
  for (const auto& [value, known] : kValues) {
    if (name == known) return value;
  }
  user_error("unknown target value '{}': expected logit, log-prob or prob", name);
}

Saliency saliency(const Model& model, std::span<const int32_t> prompt,
                  const SaliencyOptions& options) {
  check(model.config(), prompt, options);
  SaliencyRuns runs(model, options);
  Saliency result{.method = options.method,
                  .value = options.value,
                  .contrast = options.contrast,
                  .contrasts = options.contrast_text,
                  .prompt = static_cast<int64_t>(prompt.size())};
  SaliencyWork work{.model = model, .options = options, .runs = runs, .result = result};
  const std::vector<int32_t> tokens = step_tokens(model, prompt, options);
  check_contrasts(options, tokens);
  read_steps(work, prompt, tokens);
  work.embeddings = model.embed(result.ids);
  result.shares.assign(result.steps.size() * result.ids.size(), 0.0);
  result.scores.assign(result.shares.size(), 0.0);
  run(work);
  return result;
}

}  // namespace vitrine
