// SPDX-License-Identifier: MIT
#include "analysis/patching/metric.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "analysis/common/options.h"
#include "vitrine/non_finite.h"

namespace vitrine {
using namespace internal;
namespace {

using Kind = PatchMetric::Kind;

void check_answers(const AnswerTokens& tokens, std::string_view what, const Config& config) {
  if (tokens.empty()) user_error("the {} is empty: expected at least one token", what);
  for (const int32_t id : tokens) {
    check_id(config, id, what);
    if (std::count(tokens.begin(), tokens.end(), id) > 1)
      user_error("duplicate token {} in the {}: expected each token once", id, what);
  }
}

constexpr std::array kMetricNames = {std::string_view("logit-difference"),
                                     std::string_view("logit"), std::string_view("log-prob"),
                                     std::string_view("prob")};

}  // namespace

std::string_view patch_metric_name(Kind kind) { return kMetricNames[static_cast<size_t>(kind)]; }

Kind patch_metric_from_name(std::string_view name) {
  return value_named<Kind>(kMetricNames, name, "metric");
}

double PatchMetric::of(std::span<const float> logits) const {
  const auto at = [&](int32_t id) { return static_cast<double>(logits[static_cast<size_t>(id)]); };
  const auto mean = [&](const AnswerTokens& tokens) {
    double sum = 0;
    for (const int32_t id : tokens) sum += at(id);
    return sum / static_cast<double>(tokens.size());
  };
  if (kind == Kind::kLogitDifference) return mean(answer) - mean(wrong);
  if (kind == Kind::kLogit) return mean(answer);
  const double most = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += std::exp(static_cast<double>(x) - most);
  const double lse = std::log(sum);
  if (kind == Kind::kLogProb) return mean(answer) - most - lse;
  double total = 0;
  for (const int32_t id : answer) total += std::exp(at(id) - most - lse);
  return total;
}

Target PatchMetric::target() const {
  if (kind == Kind::kLogitDifference) return target::logit_difference(answer.ids(), wrong.ids());
  const double weight = kind == Kind::kProb ? 1.0 : 1.0 / static_cast<double>(answer.size());
  Target sum;
  for (const int32_t id : answer) {
    sum += weight * (kind == Kind::kLogit     ? target::logit(id)
                     : kind == Kind::kLogProb ? target::log_prob(id)
                                              : target::prob(id));
  }
  return sum;
}

void internal::check_metric(const PatchMetric& metric, const Config& config) {
  check_answers(metric.answer, "answer", config);
  if (metric.kind != Kind::kLogitDifference) return;
  check_answers(metric.wrong, "wrong answer", config);
  for (const int32_t id : metric.wrong) {
    if (metric.answer.contains(id))
      user_error("the answer and the wrong answer are the same token {}: expected different tokens",
                 id);
  }
}

double internal::finite_metric(const PatchMetric& metric, std::span<const float> logits,
                               const Model& model, const std::vector<int32_t>& ids,
                               const Hooks& edits) {
  const double value = metric.of(logits);
  if (!std::isfinite(value))
    refuse_non_finite(model, {ids}, edits,
                      fmt::format("the {} of a prompt", patch_metric_name(metric.kind)));
  return value;
}

std::vector<int32_t> internal::read_up_to(std::span<const int32_t> ids, int64_t position,
                                          std::string_view what) {
  const auto length = static_cast<int64_t>(ids.size());
  if (length == 0) user_error("the {} is empty: expected at least one token", what);
  const int64_t last = position < 0 ? position + length : position;
  if (last < 0 || last >= length)
    user_error(
        "position {} is out of range of the {}, which has {} tokens: expected 0..{} or -{}..-1",
        position, what, length, length - 1, length);
  return {ids.begin(), ids.begin() + last + 1};
}

PromptPair internal::prompt_pair(std::span<const int32_t> clean, std::span<const int32_t> corrupt,
                                 int64_t position, PatchDirection direction, bool aligned) {
  PromptPair pair{read_up_to(corrupt, position, "corrupt prompt"),
                  read_up_to(clean, position, "clean prompt")};
  if (pair.base.size() != pair.other.size() && !aligned) {
    user_error(
        "the clean prompt has {} tokens, the corrupt one {}: expected the same length; or use an "
        "alignment of their positions",
        pair.other.size(), pair.base.size());
  }
  if (pair.base == pair.other)
    user_error(
        "the clean and the corrupt prompt are the same {} tokens: expected different prompts",
        pair.base.size());
  if (direction == PatchDirection::kNoise) std::swap(pair.base, pair.other);
  return pair;
}

std::vector<double> internal::MetricScale::rescaled(std::vector<double> values) const {
  for (double& value : values) value = (value - corrupt) / (clean - corrupt);
  return values;
}

MetricScale internal::metric_scale(double base, double other, PatchDirection direction,
                                   const PatchMetric& metric) {
  if (base == other) {
    user_error(
        "the {} is {} for both prompts: expected different values; choose other tokens or prompts",
        patch_metric_name(metric.kind), base);
  }
  return direction == PatchDirection::kDenoise ? MetricScale{other, base}
                                               : MetricScale{base, other};
}

void internal::add_whole_run(PatchWork& work, size_t tokens, const Config& config) {
  const int64_t units = static_cast<int64_t>(tokens) * config.layers;
  work.computed += units;
  work.naive += units;
}

}  // namespace vitrine
