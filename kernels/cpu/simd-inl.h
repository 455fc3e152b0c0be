// SPDX-License-Identifier: MIT
// Vectors of a panel's width: what every kernel of this folder is written in. Compiled once for
// each instruction set.

#if defined(VITRINE_KERNELS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_KERNELS_CPU_SIMD_INL_H_
#undef VITRINE_KERNELS_CPU_SIMD_INL_H_
#else
#define VITRINE_KERNELS_CPU_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <cstdint>
#include <cstring>

#include "kernels/backend.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kPanel = PackedMatrix::kPanel;

using F32 = hn::CappedTag<float, kPanel>;
using Vector = hn::Vec<F32>;
constexpr int kLanes = static_cast<int>(hn::MaxLanes(F32()));
constexpr int kVectors = static_cast<int>(kPanel) / kLanes;  // of one panel

// The double-precision vectors that take half a float vector.
using F64 = hn::CappedTag<double, kLanes / 2 + kLanes % 2>;
using HalfF32 = hn::Rebind<float, F64>;
constexpr int kLanes64 = static_cast<int>(hn::MaxLanes(F64()));

HWY_INLINE Vector load(const float* p) { return hn::LoadU(F32(), p); }
HWY_INLINE Vector load(const hwy::float16_t* p) {
  return hn::PromoteTo(F32(), hn::LoadU(hn::Rebind<hwy::float16_t, F32>(), p));
}
HWY_INLINE Vector load(const hwy::bfloat16_t* p) {
  return hn::PromoteTo(F32(), hn::LoadU(hn::Rebind<hwy::bfloat16_t, F32>(), p));
}
// Whole numbers: what is made of them is to be multiplied by their output's scale.
HWY_INLINE Vector load(const int8_t* p) {
  return hn::ConvertTo(
      F32(), hn::PromoteTo(hn::Rebind<int32_t, F32>(), hn::LoadU(hn::Rebind<int8_t, F32>(), p)));
}
HWY_INLINE void store(Vector v, float* p) { hn::StoreU(v, F32(), p); }

// The first `count` < kLanes elements, the others `fill`: the ends of rows go through the same
// vector code as their middles, so that a value does not depend on its place.
HWY_INLINE Vector load_part(const float* p, int64_t count, float fill = 0.0f) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(hn::Set(F32(), fill), F32(), lanes);
  std::memcpy(lanes, p, static_cast<size_t>(count) * sizeof(float));
  return hn::Load(F32(), lanes);
}

HWY_INLINE void store_part(Vector v, float* p, int64_t count) {
  HWY_ALIGN float lanes[kLanes];
  hn::Store(v, F32(), lanes);
  std::memcpy(p, lanes, static_cast<size_t>(count) * sizeof(float));
}

// f(load, store, at): for each vector of [0, n), with functions that read and write `at` of any
// array, whole or in part.
template <class F>
HWY_INLINE void for_each_vector(int64_t n, const F& f) {
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) {
    f([j](const float* p) HWY_ATTR { return load(p + j); },
      [j](Vector v, float* p) HWY_ATTR { store(v, p + j); });
  }
  if (j == n) return;
  f([=](const float* p) HWY_ATTR { return load_part(p + j, n - j); },
    [=](Vector v, float* p) HWY_ATTR { store_part(v, p + j, n - j); });
}

// f(element type) for a dtype of a checkpoint's weights.
template <class F>
HWY_INLINE void with_float_type(DType dtype, const F& f) {
  switch (dtype) {
    case DType::kF16:
      return f(hwy::float16_t());
    case DType::kBF16:
      return f(hwy::bfloat16_t());
    default:
      return f(float());
  }
}

// f(element type) for a dtype of packed weights.
template <class F>
HWY_INLINE void with_weight_type(DType dtype, const F& f) {
  if (dtype == DType::kI8) return f(int8_t());
  with_float_type(dtype, f);
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#endif  // VITRINE_KERNELS_CPU_SIMD_INL_H_
