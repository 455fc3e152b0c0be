// SPDX-License-Identifier: MIT
// The methods that read gradients of f with respect to the input's embeddings.

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "analysis/saliency/quadrature.h"
#include "analysis/saliency/smooth_noise.h"
#include "analysis/saliency/steps.h"
#include "base/check.h"

namespace vitrine::internal {
namespace {

constexpr int kMostSamples = 1000000;

std::vector<double> doubles(std::span<const float> values) {
  return {values.begin(), values.end()};
}

/// The embeddings of a step's input, [n, D].
std::vector<double> embeddings_of(const SaliencyWork& work, size_t step) {
  return doubles(work.embeddings.f32().first(
      static_cast<size_t>(work.result.steps[step].inputs * work.width())));
}

/// Share: the length of each row. Score: the same.
void set_lengths(SaliencyWork& work, size_t step, std::span<const double> rows) {
  const auto width = static_cast<size_t>(work.width());
  std::vector<double> lengths(rows.size() / width);
  for (size_t i = 0; i < rows.size(); ++i) lengths[i / width] += rows[i] * rows[i];
  for (double& length : lengths) length = std::sqrt(length);
  work.set(step, lengths, lengths);
}

/// Share: the length of each row of gradient * factor. Score: the row's sum.
void set_products(SaliencyWork& work, size_t step, std::span<const double> gradient,
                  std::span<const double> factor) {
  const auto width = static_cast<size_t>(work.width());
  std::vector<double> lengths(gradient.size() / width), sums(lengths.size());
  for (size_t i = 0; i < gradient.size(); ++i) {
    const double product = gradient[i] * factor[i];
    lengths[i / width] += product * product;
    sums[i / width] += product;
  }
  for (double& length : lengths) length = std::sqrt(length);
  work.set(step, lengths, sums);
}

/// The input of a step with all of its embeddings given, [n, D].
SaliencyInput with_embeddings(const SaliencyWork& work, size_t step, std::span<const double> rows) {
  SaliencyInput input = work.input(step);
  input.positions.resize(input.ids.size());
  std::iota(input.positions.begin(), input.positions.end(), int64_t{0});
  input.embeddings = Tensor(DType::kF32, {work.result.steps[step].inputs, work.width()});
  std::transform(rows.begin(), rows.end(), input.embeddings.f32().begin(),
                 [](double x) { return static_cast<float>(x); });
  return input;
}

/// For each step the weighted sum, over `count` inputs, of the gradient: `done` gets it as soon as
/// it is whole.
void sum_gradients(SaliencyWork& work, size_t count,
                   const std::function<SaliencyInput(size_t step, size_t k)>& make,
                   const std::function<double(size_t)>& weight,
                   const std::function<void(size_t step, std::span<const double>)>& done) {
  std::vector<double> sum;
  const auto use = [&](size_t index, std::span<const float> gradient) {
    const size_t k = index % count;
    if (k == 0) sum.assign(gradient.size(), 0.0);
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += weight(k) * static_cast<double>(gradient[i]);
    if (k + 1 == count) done(index / count, sum);
  };
  work.runs.gradients(
      work.result.steps.size() * count,
      [&](size_t index) { return make(index / count, index % count); }, use);
}

SaliencyInput with_noise(const SaliencyWork& work, size_t step, size_t sample) {
  std::vector<double> rows = embeddings_of(work, step);
  add_noise(work.options.smooth, sample, rows);
  return with_embeddings(work, step, rows);
}

Completeness completeness_of(const SaliencyWork& work, size_t step, double baseline_value) {
  const SaliencyStep& found = work.result.steps[step];
  const auto scores = std::span(work.result.scores)
                          .subspan(work.result.cell(step, 0), static_cast<size_t>(found.inputs));
  const double sum = std::accumulate(scores.begin(), scores.end(), 0.0),
               difference = found.value - baseline_value;
  Completeness result{.baseline_value = baseline_value, .gap = std::abs(sum - difference)};
  if (result.gap > 0)
    result.relative_gap = difference == 0 ? std::numeric_limits<double>::infinity()
                                          : result.gap / std::abs(difference);
  return result;
}

}  // namespace

void grad_x_input(SaliencyWork& work) {
  work.runs.expect(work.result.steps.size(), "Gradients");
  work.runs.gradients(
      work.result.steps.size(), [&](size_t step) { return work.input(step); },
      [&](size_t step, std::span<const float> gradient) {
        set_products(work, step, doubles(gradient), embeddings_of(work, step));
      });
}

void gradient_norm(SaliencyWork& work) {
  work.runs.expect(work.result.steps.size(), "Gradients");
  work.runs.gradients(
      work.result.steps.size(), [&](size_t step) { return work.input(step); },
      [&](size_t step, std::span<const float> gradient) {
        set_lengths(work, step, doubles(gradient));
      });
}

void smooth_grad(SaliencyWork& work) {
  const SmoothGradOptions& options = work.options.smooth;
  if (options.samples < 1 || options.samples > kMostSamples) {
    user_error("invalid number of SmoothGrad samples {}: expected 1..{}", options.samples,
               kMostSamples);
  }
  if (!(options.noise >= 0 && std::isfinite(options.noise))) {
    user_error("SmoothGrad noise {} is out of range: expected 0 or more, such as 0.1",
               options.noise);
  }
  const auto samples = static_cast<size_t>(options.samples);
  work.runs.expect(work.result.steps.size() * samples, "SmoothGrad");
  sum_gradients(
      work, samples, [&](size_t step, size_t sample) { return with_noise(work, step, sample); },
      [&](size_t) { return 1.0 / options.samples; },
      [&](size_t step, std::span<const double> mean) {
        if (options.times_input) {
          set_products(work, step, mean, embeddings_of(work, step));
        } else {
          set_lengths(work, step, mean);
        }
      });
}

void integrated_gradients(SaliencyWork& work) {
  const IntegratedGradientsOptions& options = work.options.integrated;
  const std::vector<QuadraturePoint> points = quadrature_points(options.rule, options.steps);
  const Tensor baseline =
      replacement_rows(options.baseline, work.model, work.result.ids.size(), "baseline");
  const size_t steps = work.result.steps.size();
  /// b + at * (e - b), and e - b itself
  const auto on_the_line = [&](size_t step, double at) {
    std::vector<double> rows = embeddings_of(work, step);
    for (size_t i = 0; i < rows.size(); ++i) {
      const double b = replacement_row(baseline, static_cast<int64_t>(i) / work.width(),
                                       work.width())[i % static_cast<size_t>(work.width())];
      rows[i] = b + at * (rows[i] - b);
    }
    return rows;
  };
  const auto difference = [&](size_t step) {
    std::vector<double> rows = embeddings_of(work, step);
    const std::vector<double> from = on_the_line(step, 0.0);
    for (size_t i = 0; i < rows.size(); ++i) rows[i] -= from[i];
    return rows;
  };
  work.runs.expect(steps * (points.size() + 1), "Integrated gradients");
  sum_gradients(
      work, points.size(),
      [&](size_t step, size_t k) {
        return with_embeddings(work, step, on_the_line(step, points[k].point));
      },
      [&](size_t k) { return points[k].weight; },
      [&](size_t step, std::span<const double> mean) {
        set_products(work, step, mean, difference(step));
      });
  work.runs.readings(
      steps, [&](size_t step) { return with_embeddings(work, step, on_the_line(step, 0.0)); },
      [&](size_t step, const SaliencyReading& reading) {
        work.result.steps[step].completeness = completeness_of(work, step, reading.value);
      });
}

}  // namespace vitrine::internal
