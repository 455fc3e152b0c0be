// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "bench/measure/checks.h"
#include "bench/measure/turns.h"
#include "engine/model_state.h"
#include "vitrine/analysis/lens.h"
#include "vitrine/analysis/score.h"

namespace vitrine::bench {
using namespace internal;
namespace {

/// -log p of a token, from a row of logits, in double precision.
double loss_of(std::span<const float> logits, int32_t token) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - top);
  return top + std::log(sum) - logits[static_cast<size_t>(token)];
}

/// The losses of text[1], text[2], ... as a pass with all logits has them.
std::vector<double> losses_of(const Model& model, const std::vector<int32_t>& inputs,
                              const std::vector<int32_t>& targets) {
  const Run run = model.forward(inputs);
  std::vector<double> losses;
  for (size_t t = 0; t < inputs.size(); ++t)
    losses.push_back(loss_of(run.logits().slice(static_cast<int64_t>(t)).f32(), targets[t]));
  return losses;
}

/// Both take the same float32 logits where weights are float32; elsewhere a GPU may multiply
/// another number of rows by another kernel.
double allowed(const Bench& bench, double loss) {
  return (bench.model.dtype() == DType::kF32 || bench.device == "cpu" ? 1e-4 : 2e-2) *
         (1 + std::abs(loss));
}

/// A text of two windows, scored by windows that overlap by half.
void bench_score(const Bench& bench, int64_t window) {
  const std::vector<int32_t> ids = some_tokens(bench.model.config(), 2 * window);
  const ScoreOptions options{.window = window};
  Row row = bench.row("score", fmt::format("{} tokens, window {}", 2 * window, window));
  const std::string step = "score, " + row.shape;
  bench.step(step);
  const Score found = score(bench.model, ids, options);
  require(std::ssize(found.tokens) == 2 * window - 1, "every token but the first has a score");
  const auto middle = ids.begin() + window;
  const std::vector<double> losses =
      losses_of(bench.model, {ids.begin(), middle}, {ids.begin() + 1, middle + 1});
  for (size_t t = 0; t < losses.size(); ++t) {
    require(std::abs(found.tokens[t].loss - losses[t]) <= allowed(bench, losses[t]),
            "a token's score is what a pass with all logits has");
  }
  const Config& config = bench.model.config();
  const DType dtype = bench.model.dtype();
  Work work;
  for (int64_t begin = 0, scored = 0; scored < 2 * window - 1; begin += found.stride) {
    const int64_t tokens = std::min(window, 2 * window - 1 - begin), rows = begin + tokens - scored;
    work = work + forward_pass(config, dtype, 1, tokens, 0) + reading(config, dtype, rows);
    scored += rows;
  }
  row.unit = "tok/s";
  row.amount = static_cast<double>(2 * window - 1);
  row.floor = work.seconds(bench.best());
  measure_alone(bench, std::move(row), step, [&] { score(bench.model, ids, options); });
}

/// Every layer at every position, the ten likeliest tokens of each.
void bench_lens(const Bench& bench, int64_t length) {
  const std::vector<int32_t> ids = some_tokens(bench.model.config(), length);
  const LensOptions options{.top_k = 10};
  const int64_t layers = bench.model.config().layers + 1;
  Row row = bench.row("lens", fmt::format("{} x {}, top 10", layers, length));
  const std::string step = "lens, " + row.shape;
  bench.step(step);
  const Lens found = lens(bench.model, ids, options);
  require(std::ssize(found.layers) == layers && std::ssize(found.positions) == length,
          "the lens has every layer and position");
  const std::vector<double> losses = losses_of(bench.model, ids, found.targets);
  for (size_t t = 0; t < losses.size(); ++t) {
    const double loss = -found.target_log_probs[found.cell(found.rows() - 1, t)];
    require(std::abs(loss - losses[t]) <= allowed(bench, losses[t]),
            "the lens's last layer is the model's output");
  }
  row.unit = "cells/s";
  row.amount = static_cast<double>(layers * length);
  const Work work = forward_pass(bench.model.config(), bench.model.dtype(), 1, length, 0) +
                    reading(bench.model.config(), bench.model.dtype(), layers * length);
  row.floor = work.seconds(bench.best());
  measure_alone(bench, std::move(row), step, [&] { lens(bench.model, ids, options); });
}

/// Of every length of a prompt.
Cases cases_of(const BenchOptions& options, void (*measure)(const Bench&, int64_t)) {
  Cases cases;
  for (const int64_t length : options.prompts)
    cases.push_back({.measure = [=](const Bench& bench) { measure(bench, length); }});
  return cases;
}

}  // namespace

Cases score_cases(const BenchOptions& options) { return cases_of(options, bench_score); }
Cases lens_cases(const BenchOptions& options) { return cases_of(options, bench_lens); }

}  // namespace vitrine::bench
