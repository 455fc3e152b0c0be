// SPDX-License-Identifier: MIT
#include "cli/saliency/saliency_data.h"

#include <cmath>

#include "base/check.h"
#include "cli/core/arrays.h"

namespace vitrine::cli {
using namespace internal;
namespace {

JsonValue effect_json(const MaskingEffect& effect) {
  return {{"value", effect.value},
          {"standard_error", effect.standard_error},
          {"log_probability", effect.log_prob},
          {"rank", effect.rank},
          {"hidden", effect.hidden}};
}

JsonValue token_json(const Saliency& saliency, const Names& names, size_t step, size_t position) {
  const size_t cell = saliency.cell(step, position);
  JsonValue token = names.json(saliency.ids[position]);
  token.update(
      {{"position", position}, {"share", saliency.shares[cell]}, {"score", saliency.scores[cell]}});
  if (const auto& comparison = saliency.steps[step].comparison) {
    token["draws"] = comparison->span_draws[position];
    token["scattered"] = {{"score", comparison->scattered_scores[position]},
                          {"draws", comparison->scattered_draws[position]}};
  }
  return token;
}

JsonValue step_json(const Saliency& saliency, const Names& names, size_t step) {
  const SaliencyStep& s = saliency.steps[step];
  JsonValue json = {
      {"inputs", s.inputs}, {"target", names.json(s.target)}, {"rank", s.rank},
      {"logit", s.logit},   {"log_probability", s.log_prob},  {"probability", std::exp(s.log_prob)},
      {"value", s.value}};
  if (s.completeness) {
    json["completeness"] = {{"baseline_value", s.completeness->baseline_value},
                            {"gap", s.completeness->gap},
                            {"relative_gap", s.completeness->relative_gap}};
  }
  if (s.comparison) {
    json["comparison"] = {{"masked_tokens", s.comparison->masked_tokens},
                          {"spans", effect_json(s.comparison->spans)},
                          {"scattered", effect_json(s.comparison->scattered)}};
  }
  json["tokens"] = JsonValue::array();
  for (int64_t i = 0; i < s.inputs; ++i)
    json["tokens"].push_back(token_json(saliency, names, step, static_cast<size_t>(i)));
  return json;
}

}  // namespace

JsonValue saliency_json(const Saliency& saliency, const Names& names) {
  JsonValue json = {{"method", saliency_method_name(saliency.method)},
                    {"of", saliency_value_name(saliency.value)}};
  json["contrast"] = saliency.contrast ? names.json(*saliency.contrast) : JsonValue(nullptr);
  json["steps"] = JsonValue::array();
  for (size_t step = 0; step < saliency.steps.size(); ++step)
    json["steps"].push_back(step_json(saliency, names, step));
  return json;
}

void save_saliency(const std::vector<Saliency>& results, const std::string& path,
                   const std::map<std::string, std::string>& metadata) {
  Arrays tensors;
  for (size_t i = 0; i < results.size(); ++i) {
    const Saliency& saliency = results[i];
    const auto steps = static_cast<int64_t>(saliency.steps.size()),
               tokens = static_cast<int64_t>(saliency.ids.size());
    std::vector<int32_t> targets;
    std::vector<int64_t> inputs;
    for (const SaliencyStep& step : saliency.steps) {
      targets.push_back(step.target);
      inputs.push_back(step.inputs);
    }
    const auto add = [&](const char* name, Tensor tensor) {
      tensors.emplace_back(fmt::format("{}.{}", name, i), std::move(tensor));
    };
    add("ids", tensor_of(DType::kI32, saliency.ids, {tokens}));
    add("targets", tensor_of(DType::kI32, targets, {steps}));
    add("inputs", tensor_of(DType::kI64, inputs, {steps}));
    add("shares", tensor_of(DType::kF64, saliency.shares, {steps, tokens}));
    add("scores", tensor_of(DType::kF64, saliency.scores, {steps, tokens}));
  }
  write_arrays(path, tensors, metadata);
}

}  // namespace vitrine::cli
