// SPDX-License-Identifier: MIT
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/layernorm.cc"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

float mean_of(const float* x, int64_t n) {
  WideSum sum;
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) sum.add(load(x + j));
  if (j < n) sum.add(load_part(x + j, n - j));
  return static_cast<float>(sum.total() / static_cast<double>(n));
}

float scale_of(const float* x, int64_t n, float mean, float epsilon) {
  const Vector centre = hn::Set(F32(), mean);
  WideSum sum;
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) sum.add_square(hn::Sub(load(x + j), centre));
  if (j < n) sum.add_square(hn::Sub(load_part(x + j, n - j, mean), centre));
  return static_cast<float>(
      std::sqrt(sum.total() / static_cast<double>(n) + static_cast<double>(epsilon)));
}

// What to do with each row: measure its scale, apply one, or both.
void layernorm_rows(const LayerNormArgs& args, bool measure, bool apply, int64_t begin,
                    int64_t end) {
  const F32 d;
  for (int64_t r = begin; r < end; ++r) {
    const float* x = args.x.row(r);
    const float mean = mean_of(x, args.x.cols);
    const float scale = measure ? scale_of(x, args.x.cols, mean, args.epsilon) : *args.scale.row(r);
    if (measure && args.scale) *args.scale.row(r) = scale;
    if (!apply) continue;
    const Vector centre = hn::Set(d, mean), inverse = hn::Set(d, 1.0f / scale);
    float* out = args.out.row(r);
    for_each_vector(args.x.cols, [&](const auto& load_at, const auto& store_at) HWY_ATTR {
      const Vector normal = hn::Mul(hn::Sub(load_at(x), centre), inverse);
      store_at(hn::Add(hn::Mul(normal, load_at(args.weight)), load_at(args.bias)), out);
    });
  }
}

// Sum of dy * weight * c over a row, and of dy * weight.
struct BackwardSums {
  double with_centred, plain;
};

BackwardSums backward_sums(const LayerNormBackwardArgs& args, const float* x, const float* dy,
                           float mean) {
  const int64_t n = args.x.cols;
  WideSum with_centred, plain;
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    const Vector normal = hn::Mul(load(dy + j), load(args.weight + j));
    plain.add(normal);
    with_centred.add_product(normal, hn::Sub(load(x + j), hn::Set(F32(), mean)));
  }
  if (j < n) {
    const Vector normal = hn::Mul(load_part(dy + j, n - j), load_part(args.weight + j, n - j));
    plain.add(normal);
    with_centred.add_product(normal, hn::Sub(load_part(x + j, n - j, mean), hn::Set(F32(), mean)));
  }
  return {with_centred.total(), plain.total()};
}

// dx = n / e + dscale c / (D s) - their mean, + residual. The mean of c is zero but for the
// rounding of the mean of x.
void layernorm_backward_rows(const LayerNormBackwardArgs& args, bool measure, bool apply,
                             int64_t begin, int64_t end) {
  const F32 d;
  const auto width = static_cast<double>(args.x.cols);
  for (int64_t r = begin; r < end; ++r) {
    const float* x = args.x.row(r);
    const float* dy = args.dy.row(r);
    const float mean = mean_of(x, args.x.cols), own = scale_of(x, args.x.cols, mean, args.epsilon);
    const double divisor = args.scale ? *args.scale.row(r) : own;
    const BackwardSums sums = backward_sums(args, x, dy, mean);
    const float dscale = measure ? static_cast<float>(-sums.with_centred / (divisor * divisor))
                                 : *args.dscale.row(r);
    if (measure && args.dscale) *args.dscale.row(r) = dscale;
    if (!apply) continue;
    const auto slope =
        static_cast<float>(args.frozen ? 0.0 : static_cast<double>(dscale) / (width * own));
    const Vector centre = hn::Set(d, mean), along = hn::Set(d, slope),
                 inverse = hn::Set(d, static_cast<float>(1.0 / divisor)),
                 shift = hn::Set(d, static_cast<float>(sums.plain / (divisor * width)));
    const float* residual = args.residual ? args.residual.row(r) : nullptr;
    float* dx = args.dx.row(r);
    for_each_vector(args.x.cols, [&](const auto& load_at, const auto& store_at) HWY_ATTR {
      const Vector normal = hn::Mul(load_at(dy), load_at(args.weight));
      Vector g = hn::Sub(hn::Mul(normal, inverse), shift);
      g = hn::Add(g, hn::Mul(hn::Sub(load_at(x), centre), along));
      if (residual != nullptr) g = hn::Add(g, load_at(residual));
      store_at(g, dx);
    });
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal {
namespace cpu {

HWY_EXPORT(layernorm_rows);
HWY_EXPORT(layernorm_backward_rows);

namespace {

constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread

void run_backward(int threads, const LayerNormBackwardArgs& args, bool measure, bool apply) {
  parallel_chunks(threads, args.x.rows, kGrain / (args.x.cols + 1) + 1,
                  [&](int64_t begin, int64_t end) {
                    HWY_DYNAMIC_DISPATCH(layernorm_backward_rows)(args, measure, apply, begin, end);
                  });
}

void run(int threads, const LayerNormArgs& args, bool measure, bool apply) {
  parallel_chunks(threads, args.x.rows, kGrain / (args.x.cols + 1) + 1,
                  [&](int64_t begin, int64_t end) {
                    HWY_DYNAMIC_DISPATCH(layernorm_rows)(args, measure, apply, begin, end);
                  });
}

}  // namespace
}  // namespace cpu

void CpuBackend::layernorm(const LayerNormArgs& args) { cpu::run(threads_, args, true, true); }

void CpuBackend::layernorm_scale(Mat x, float epsilon, Mat scale) {
  cpu::run(threads_, {.x = x, .epsilon = epsilon, .scale = scale}, true, false);
}

void CpuBackend::layernorm_apply(const LayerNormArgs& args) {
  cpu::run(threads_, args, false, true);
}

void CpuBackend::layernorm_backward(const LayerNormBackwardArgs& args) {
  cpu::run_backward(threads_, args, true, true);
}

void CpuBackend::layernorm_backward_scale(const LayerNormBackwardArgs& args) {
  cpu::run_backward(threads_, args, true, false);
}

void CpuBackend::layernorm_backward_apply(const LayerNormBackwardArgs& args) {
  cpu::run_backward(threads_, args, false, true);
}

}  // namespace vitrine::internal
#endif
