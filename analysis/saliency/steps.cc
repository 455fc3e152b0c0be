// SPDX-License-Identifier: MIT
#include "analysis/saliency/steps.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "analysis/common/options.h"
#include "base/finite.h"

namespace vitrine::internal {
namespace {

/// The mean row of wte, a block of rows at a time: the whole table would be as large as the model's
/// weights again.
Tensor mean_embedding(const Model& model) {
  constexpr int64_t kBlock = 1024;
  const int64_t vocab = model.config().vocab, width = model.config().width;
  std::vector<double> sum(static_cast<size_t>(width), 0.0);
  for (int64_t begin = 0; begin < vocab; begin += kBlock) {
    std::vector<int32_t> ids(static_cast<size_t>(std::min(kBlock, vocab - begin)));
    std::iota(ids.begin(), ids.end(), static_cast<int32_t>(begin));
    const Tensor rows = model.embed(ids);
    for (int64_t i = 0; i < rows.elements(); ++i) {
      sum[static_cast<size_t>(i % width)] +=
          static_cast<double>(rows.f32()[static_cast<size_t>(i)]);
    }
  }
  Tensor mean(DType::kF32, {width});
  std::transform(sum.begin(), sum.end(), mean.f32().begin(),
                 [&](double x) { return static_cast<float>(x / static_cast<double>(vocab)); });
  return mean;
}

}  // namespace

SaliencyInput SaliencyWork::input(size_t step) const {
  const auto end = result.ids.begin() + result.steps[step].inputs;
  return {.ids = {result.ids.begin(), end},
          .target = result.steps[step].target,
          .contrast = result.contrast_of(step)};
}

std::span<const float> SaliencyWork::row(int64_t position) const {
  return embeddings.view().slice(position).f32();
}

void SaliencyWork::set(size_t step, std::span<const double> amounts,
                       std::span<const double> scores) {
  const double sum = std::accumulate(amounts.begin(), amounts.end(), 0.0);
  const size_t begin = result.cell(step, 0);
  for (size_t i = 0; i < amounts.size(); ++i) {
    result.shares[begin + i] = sum > 0 ? amounts[i] / sum : 0.0;
    result.scores[begin + i] = scores[i];
  }
}

void SaliencyWork::set(size_t step, std::span<const double> scores) {
  std::vector<double> sizes(scores.begin(), scores.end());
  for (double& size : sizes) size = std::abs(size);
  set(step, sizes, scores);
}

Tensor replacement_rows(const Replacement& replacement, const Model& model, size_t tokens,
                        std::string_view what) {
  const int64_t width = model.config().width, length = static_cast<int64_t>(tokens);
  switch (replacement.kind) {
    case Replacement::Kind::kMean:
      return mean_embedding(model);
    case Replacement::Kind::kToken:
      check_id(model.config(), replacement.token, fmt::format("{} token", what));
      return model.embed({&replacement.token, 1});
    case Replacement::Kind::kTensor: {
      const Shape& shape = replacement.tensor.shape();
      if (replacement.tensor.empty() || (shape != Shape{width} && shape != Shape{length, width})) {
        user_error("the {} is {}: expected [{}], or [{}, {}] with one row per input token", what,
                   replacement.tensor.empty() ? "no tensor" : shape.to_string(), width, length,
                   width);
      }
      const auto bad =
          first_non_finite(replacement.tensor.f32().data(), DType::kF32, shape.elements());
      if (bad)
        user_error("the {} is {} at element {}: expected finite numbers", what,
                   replacement.tensor.f32()[static_cast<size_t>(*bad)], *bad);
      return replacement.tensor;
    }
    case Replacement::Kind::kDelete:
      user_error("invalid {}: deletion is not supported; use zero, mean, a token or a tensor",
                 what);
    case Replacement::Kind::kZero:
      break;
  }
  return Tensor(DType::kF32, {width});
}

std::span<const float> replacement_row(const Tensor& rows, int64_t position, int64_t width) {
  const bool each = rows.elements() > width;
  return rows.f32().subspan(each ? static_cast<size_t>(position * width) : 0,
                            static_cast<size_t>(width));
}

}  // namespace vitrine::internal
