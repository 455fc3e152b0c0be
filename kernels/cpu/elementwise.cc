// SPDX-License-Identifier: MIT
#include "kernels/cpu/elementwise.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cc"
#include <hwy/foreach_target.h>

#include <cstring>

#include "base/check.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/parallel.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

void activate_vectors(const float* x, int64_t n, Activation activation, float* out) {
  with_activation(activation, [&](const auto& activate) HWY_ATTR {
    for_each_vector(n, [&](const auto& load_at, const auto& store_at)
                           HWY_ATTR { store_at(activate(load_at(x)), out); });
  });
}

void activate_backward_vectors(const float* dy, const float* before, int64_t n,
                               Activation activation, float* dx) {
  with_slope(activation, [&](const auto& slope_at) HWY_ATTR {
    for_each_vector(n, [&](const auto& load_at, const auto& store_at) HWY_ATTR {
      store_at(hn::Mul(load_at(dy), slope_at(load_at(before))), dx);
    });
  });
}

void add_vectors(const float* a, const float* b, int64_t n, float* out) {
  for_each_vector(n, [&](const auto& load_at, const auto& store_at)
                         HWY_ATTR { store_at(hn::Add(load_at(a), load_at(b)), out); });
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal {
namespace cpu {

HWY_EXPORT(activate_vectors);
HWY_EXPORT(activate_backward_vectors);
HWY_EXPORT(add_vectors);

void activate_backward_row(const float* dy, const float* before, int64_t n, Activation activation,
                           float* dx) {
  HWY_DYNAMIC_DISPATCH(activate_backward_vectors)(dy, before, n, activation, dx);
}

void activate_row(const float* x, int64_t n, Activation activation, float* out) {
  HWY_DYNAMIC_DISPATCH(activate_vectors)(x, n, activation, out);
}

void add_row(const float* a, const float* b, int64_t n, float* out) {
  HWY_DYNAMIC_DISPATCH(add_vectors)(a, b, n, out);
}

}  // namespace cpu

namespace {

constexpr int64_t kGrain = 1 << 14;  // elements that are worth a thread

template <typename F>
void for_each_row(int threads, Mat x, const F& f) {
  cpu::parallel_chunks(threads, x.rows, kGrain / (x.cols + 1) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

}  // namespace

void CpuBackend::activate(Mat x, Activation activation, Mat out) {
  for_each_row(threads_, x,
               [&](int64_t r) { cpu::activate_row(x.row(r), x.cols, activation, out.row(r)); });
}

void CpuBackend::activate_backward(Mat dy, Mat before, Activation activation, Mat dx) {
  for_each_row(threads_, dy, [&](int64_t r) {
    cpu::activate_backward_row(dy.row(r), before.row(r), dy.cols, activation, dx.row(r));
  });
}

void CpuBackend::convert(Mat from, Mat to) {
  if (from.dtype != DType::kF32 || to.dtype != DType::kF32)
    internal_error("invalid activation dtypes {} and {} on the CPU: expected f32",
                   dtype_name(from.dtype), dtype_name(to.dtype));
  for_each_row(threads_, from, [&](int64_t r) {
    std::memcpy(to.row(r), from.row(r), static_cast<size_t>(from.cols) * sizeof(float));
  });
}

void CpuBackend::add(Mat a, Mat b, Mat out) {
  for_each_row(threads_, a,
               [&](int64_t r) { cpu::add_row(a.row(r), b.row(r), a.cols, out.row(r)); });
}

}  // namespace vitrine::internal
#endif
