// SPDX-License-Identifier: MIT
// The one rounding to bfloat16 in vectors.

#if defined(VITRINE_KERNELS_CPU_BF16_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_KERNELS_CPU_BF16_INL_H_
#undef VITRINE_KERNELS_CPU_BF16_INL_H_
#else
#define VITRINE_KERNELS_CPU_BF16_INL_H_
#endif

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

// Rounded to nearest, to even at ties; Highway cuts off what is left below bf16's last bit.
HWY_INLINE auto to_bf16(Vector v) {
  const F32 d;
  const hn::RebindToUnsigned<F32> du;
  const auto bits = hn::BitCast(du, v), kept = hn::Set(du, 0xffff0000u);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::And(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu))), kept);
  const auto quiet = hn::Or(hn::And(bits, kept), hn::Set(du, 0x400000u));
  return hn::DemoteTo(hn::Rebind<hwy::bfloat16_t, F32>(),
                      hn::IfThenElse(hn::IsNaN(v), hn::BitCast(d, quiet), hn::BitCast(d, rounded)));
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#endif  // VITRINE_KERNELS_CPU_BF16_INL_H_
