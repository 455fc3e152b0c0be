#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/layernorm.cc"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::cpu {
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
  return static_cast<float>(std::sqrt(sum.total() / static_cast<double>(n) + static_cast<double>(epsilon)));
}

// What to do with each row: measure its scale, apply one, or both.
void layernorm_rows(const LayerNormArgs& args, bool measure, bool apply, int64_t begin, int64_t end) {
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

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine {
namespace cpu {

HWY_EXPORT(layernorm_rows);

namespace {

constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread

void run(int threads, const LayerNormArgs& args, bool measure, bool apply) {
  parallel_chunks(threads, args.x.rows, kGrain / (args.x.cols + 1) + 1, [&](int64_t begin, int64_t end) {
    HWY_DYNAMIC_DISPATCH(layernorm_rows)(args, measure, apply, begin, end);
  });
}

}  // namespace
}  // namespace cpu

void CpuBackend::layernorm(const LayerNormArgs& args) { cpu::run(threads_, args, true, true); }

void CpuBackend::layernorm_scale(Mat x, float epsilon, Mat scale) {
  cpu::run(threads_, {.x = x, .epsilon = epsilon, .scale = scale}, true, false);
}

void CpuBackend::layernorm_apply(const LayerNormArgs& args) { cpu::run(threads_, args, false, true); }

}  // namespace vitrine
#endif
