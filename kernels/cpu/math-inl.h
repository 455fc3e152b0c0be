// SPDX-License-Identifier: MIT
// exp and the activation functions on vectors.
//
// The activations compute in double precision and round once, so that no range of x loses digits: 1
// + tanh(u) cancels for negative x, and an argument of exp rounded to float32 would cost as many
// units as it has. The polynomials are least- maximum fits of relative error; each one's is below a
// tenth of a unit of float32.

#if defined(VITRINE_KERNELS_CPU_MATH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef VITRINE_KERNELS_CPU_MATH_INL_H_
#undef VITRINE_KERNELS_CPU_MATH_INL_H_
#else
#define VITRINE_KERNELS_CPU_MATH_INL_H_
#endif

#include <array>
#include <cmath>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

using Vector64 = hn::Vec<F64>;

// c[0] + c[1] x + c[2] x^2 + ...
template <class D, class V, size_t kCount>
HWY_INLINE V polynomial(D d, V x, const std::array<hn::TFromD<D>, kCount>& c) {
  V y = hn::Set(d, c[kCount - 1]);
  for (size_t i = kCount - 1; i-- > 0;) y = hn::MulAdd(y, x, hn::Set(d, c[i]));
  return y;
}

// e^x for x <= 0 (the softmax's, after its maximum was subtracted), within one unit; 0 below the
// smallest normal number. A NaN stays one, and -infinity gives 0.
HWY_INLINE Vector exp_nonpositive(Vector x) {
  constexpr std::array<float, 7> kFit = {1.0f,          1.0f,           0.499999934f,  0.166665204f,
                                         0.0416683907f, 0.00836874529f, 0.00138145437f};
  const F32 d;
  const hn::RebindToSigned<F32> di;
  const Vector magic =
      hn::Set(d, 0x1.8p23f);  // adding it rounds to an integer, which is then in the low bits
  const Vector shifted = hn::MulAdd(x, hn::Set(d, 1.44269504f), magic);
  const Vector n = hn::Sub(shifted, magic);
  Vector r =
      hn::NegMulAdd(n, hn::Set(d, 0.693145752f),
                    x);  // ln 2 in two parts, the first short enough for n times it to be exact
  r = hn::NegMulAdd(n, hn::Set(d, 1.42860677e-6f), r);
  const auto exponent = hn::ShiftLeft<23>(hn::Add(hn::BitCast(di, shifted), hn::Set(di, 127)));
  const Vector y = hn::Mul(polynomial(d, r, kFit), hn::BitCast(d, exponent));
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -87.3f)), y);
}

// 2^x, clamped to what double precision holds.
HWY_INLINE Vector64 exp2(Vector64 x) {
  constexpr std::array<double, 7> kFit = {
      1.0000000005541827,  0.6931472057372153,    0.24022646890516297,  0.05550328777050264,
      0.00961848896986725, 0.0013399931191862106, 0.0001534580857292956};
  const F64 d;
  const hn::RebindToSigned<F64> di;
  const Vector64 magic = hn::Set(d, 0x1.8p52);
  const Vector64 clamped = hn::Min(hn::Max(x, hn::Set(d, -1000.0)), hn::Set(d, 1000.0));
  const Vector64 shifted = hn::Add(clamped, magic);
  const Vector64 y = polynomial(d, hn::Sub(clamped, hn::Sub(shifted, magic)), kFit);
  return hn::BitCast(d, hn::Add(hn::BitCast(di, y), hn::ShiftLeft<52>(hn::BitCast(di, shifted))));
}

#if HWY_TARGET != HWY_SCALAR
// To float, half a vector. Highway's emulation makes infinity finite, so it is not used for this.
HWY_INLINE auto to_float(Vector64 x) {
  const HalfF32 half;
#if HWY_TARGET == HWY_EMU128
  HWY_ALIGN double wide[hn::MaxLanes(F64())];
  HWY_ALIGN float narrow[hn::MaxLanes(HalfF32())];
  hn::Store(x, F64(), wide);
  for (size_t i = 0; i < hn::Lanes(half); ++i) narrow[i] = static_cast<float>(wide[i]);
  return hn::Load(half, narrow);
#else
  return hn::DemoteTo(half, x);
#endif
}
#endif

// The highest lane. Highway's emulation starts from the lowest finite number, so that lanes of
// -infinity alone would give that number.
HWY_INLINE float highest_lane(Vector x) {
#if HWY_TARGET == HWY_EMU128
  HWY_ALIGN float lanes[hn::MaxLanes(F32())];
  hn::Store(x, F32(), lanes);
  float highest = lanes[0];
  for (size_t i = 1; i < hn::Lanes(F32()); ++i) highest = lanes[i] > highest ? lanes[i] : highest;
  return highest;
#else
  return hn::GetLane(hn::MaxOfLanes(F32(), x));
#endif
}

// f on a float vector, computed in double.
template <class F>
HWY_INLINE Vector in_double(Vector x, const F& f) {
#if HWY_TARGET == HWY_SCALAR
  return hn::Set(F32(), static_cast<float>(hn::GetLane(
                            f(hn::PromoteTo(F64(), x)))));  // its DemoteTo makes infinity finite
#else
  const HalfF32 half;
  const auto lower = to_float(f(hn::PromoteTo(F64(), hn::LowerHalf(half, x))));
  const auto upper = to_float(f(hn::PromoteTo(F64(), hn::UpperHalf(half, x))));
  return hn::Combine(F32(), upper, lower);
#endif
}

// Sums in double precision, each lane its own, in a fixed order.
class WideSum {
 public:
  HWY_INLINE WideSum() : even_(hn::Zero(F64())), odd_(hn::Zero(F64())) {}

  HWY_INLINE void add(Vector x) {
#if HWY_TARGET == HWY_SCALAR
    even_ = hn::Add(even_, hn::PromoteTo(F64(), x));
#else
    even_ = hn::Add(even_, hn::PromoteTo(F64(), hn::LowerHalf(HalfF32(), x)));
    odd_ = hn::Add(odd_, hn::PromoteTo(F64(), hn::UpperHalf(HalfF32(), x)));
#endif
  }
  HWY_INLINE void add_square(Vector x) { add_product(x, x); }
  HWY_INLINE void add_product(Vector a, Vector b) {
#if HWY_TARGET == HWY_SCALAR
    even_ = hn::MulAdd(hn::PromoteTo(F64(), a), hn::PromoteTo(F64(), b), even_);
#else
    const HalfF32 half;
    even_ = hn::MulAdd(hn::PromoteTo(F64(), hn::LowerHalf(half, a)),
                       hn::PromoteTo(F64(), hn::LowerHalf(half, b)), even_);
    odd_ = hn::MulAdd(hn::PromoteTo(F64(), hn::UpperHalf(half, a)),
                      hn::PromoteTo(F64(), hn::UpperHalf(half, b)), odd_);
#endif
  }
  HWY_INLINE double total() const {
    return hn::GetLane(hn::SumOfLanes(F64(), hn::Add(even_, odd_)));
  }

 private:
  Vector64 even_, odd_;
};

constexpr double kLog2E = 1.4426950408889634;

// The logistic function 1 / (1 + 2^t), and what is left to 1, without cancellation.
struct Gate {
  Vector64 open, rest;
};
HWY_INLINE Gate gate(Vector64 t) {
  const Vector64 e = exp2(t), open = hn::Div(hn::Set(F64(), 1.0), hn::Add(hn::Set(F64(), 1.0), e));
  return {open, hn::Mul(e, open)};
}

// x / (1 + 2^t)
HWY_INLINE Vector64 gated(Vector64 x, Vector64 t) {
  return hn::Div(x, hn::Add(hn::Set(F64(), 1.0), exp2(t)));
}

HWY_INLINE Vector64 gelu_tanh(Vector64 x) {  // 0.5 (1 + tanh(u)) is 1 / (1 + exp(-2 u))
  constexpr double kLinear = -2.0 * 0.79788456080286536 * kLog2E;
  const F64 d;
  const Vector64 slope =
      hn::MulAdd(hn::Mul(x, x), hn::Set(d, 0.044715 * kLinear), hn::Set(d, kLinear));
  return gated(x, hn::Mul(x, slope));
}

// g(x) = x s(u(x)) with s the logistic function of 2 u: g' = s + x s (1 - s) 2 u'.
HWY_INLINE Vector64 gelu_tanh_slope(Vector64 x) {
  constexpr double kTwice = 2.0 * 0.79788456080286536;
  const F64 d;
  const Vector64 square = hn::Mul(x, x);
  const Vector64 u2 =
      hn::Mul(x, hn::MulAdd(square, hn::Set(d, 0.044715 * kTwice), hn::Set(d, kTwice)));
  const Vector64 inner =
      hn::MulAdd(square, hn::Set(d, 3.0 * 0.044715 * kTwice), hn::Set(d, kTwice));
  const Gate s = gate(hn::Mul(u2, hn::Set(d, -kLog2E)));
  return hn::MulAdd(hn::Mul(hn::Mul(x, inner), s.rest), s.open, s.open);
}

// d/dx of x s(rate x): s + rate x s (1 - s).
HWY_INLINE Vector64 gated_slope(Vector64 x, double rate) {
  const F64 d;
  const Gate s = gate(hn::Mul(x, hn::Set(d, -rate * kLog2E)));
  return hn::MulAdd(hn::Mul(hn::Mul(x, hn::Set(d, rate)), s.rest), s.open, s.open);
}

// Phi(x), from the scaled complementary error function exp(a^2) erfc(a), a = |x| / sqrt(2), which
// has no cancellation: times 1 + 2 a it is a smooth function of q = (a - 2) / (a + 2).
HWY_INLINE Vector64 normal_cdf(Vector64 x) {
  constexpr std::array<double, 13> kFit = {
      1.2769783822782272,     -0.09276382474413057,    -0.1660304793407807,   0.1640511972298622,
      -0.054218512526893754,  -0.008032716861892004,   0.008712747131947491,  0.00126209673155822,
      -0.0014273754898125365, -0.00042230744275854073, 0.0001685880146801546, 9.767085715364275e-05,
      8.765125665749132e-06};
  const F64 d;
  const Vector64 one = hn::Set(d, 1.0), two = hn::Set(d, 2.0);
  const Vector64 a = hn::Min(hn::Mul(hn::Abs(x), hn::Set(d, 0.70710678118654752)), hn::Set(d, 1e3));
  const Vector64 q = hn::Div(hn::Sub(a, two), hn::Add(a, two));
  const Vector64 scaled = hn::Div(polynomial(d, q, kFit), hn::MulAdd(two, a, one));
  const Vector64 tail =
      hn::Mul(hn::Mul(hn::Set(d, 0.5), scaled), exp2(hn::Mul(hn::Mul(a, a), hn::Set(d, -kLog2E))));
  return hn::IfThenElse(hn::Lt(x, hn::Zero(d)), tail, hn::Sub(one, tail));
}

HWY_INLINE Vector64 gelu_erf(Vector64 x) { return hn::Mul(x, normal_cdf(x)); }

HWY_INLINE Vector64 gelu_erf_slope(Vector64 x) {  // Phi(x) + x phi(x)
  const F64 d;
  const Vector64 density = hn::Mul(hn::Set(d, 0.39894228040143268),
                                   exp2(hn::Mul(hn::Mul(x, x), hn::Set(d, -0.5 * kLog2E))));
  return hn::MulAdd(x, density, normal_cdf(x));
}

HWY_INLINE Vector64 tanh(Vector64 x) {
  constexpr std::array<double, 6> kFit = {1.0,
                                          -0.3333331755924703,
                                          0.13332586126592566,
                                          -0.05385230882023134,
                                          0.021071675015899474,
                                          -0.0062742342846837836};
  const F64 d;
  const Vector64 size = hn::Abs(x), one = hn::Set(d, 1.0);
  const Vector64 e = exp2(hn::Mul(size, hn::Set(d, -2.0 * kLog2E)));
  const Vector64 large = hn::CopySign(hn::Div(hn::Sub(one, e), hn::Add(one, e)), x);
  const Vector64 small = hn::Mul(x, polynomial(d, hn::Mul(x, x), kFit));
  return hn::IfThenElse(hn::Ge(size, hn::Set(d, 0.55)), large, small);
}

HWY_INLINE Vector64 tanh_slope(Vector64 x) {  // 1 - tanh^2 is 4 e / (1 + e)^2 with e = exp(-2 |x|)
  const F64 d;
  const Vector64 e = exp2(hn::Mul(hn::Abs(x), hn::Set(d, -2.0 * kLog2E))),
                 sum = hn::Add(hn::Set(d, 1.0), e);
  return hn::Div(hn::Mul(hn::Set(d, 4.0), e), hn::Mul(sum, sum));
}

template <Activation kActivation>
HWY_INLINE Vector activated(Vector x) {
  switch (kActivation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluTanh:
      return in_double(x, [](Vector64 v) HWY_ATTR { return gelu_tanh(v); });
    case Activation::kGeluErf:
      return in_double(x, [](Vector64 v) HWY_ATTR { return gelu_erf(v); });
    case Activation::kGeluQuick:
      return in_double(x, [](Vector64 v) HWY_ATTR {
        return gated(v, hn::Mul(v, hn::Set(F64(), -1.702 * kLog2E)));
      });
    case Activation::kRelu:
      return hn::IfThenZeroElse(hn::Lt(x, hn::Zero(F32())), x);
    case Activation::kSilu:
      return in_double(
          x, [](Vector64 v) HWY_ATTR { return gated(v, hn::Mul(v, hn::Set(F64(), -kLog2E))); });
    case Activation::kTanh:
      return in_double(x, [](Vector64 v) HWY_ATTR { return tanh(v); });
  }
}

// The derivative at x; of ReLU at 0 it is 0, as PyTorch has it.
template <Activation kActivation>
HWY_INLINE Vector slope(Vector x) {
  switch (kActivation) {
    case Activation::kNone:
      return hn::Set(F32(), 1.0f);
    case Activation::kGeluTanh:
      return in_double(x, [](Vector64 v) HWY_ATTR { return gelu_tanh_slope(v); });
    case Activation::kGeluErf:
      return in_double(x, [](Vector64 v) HWY_ATTR { return gelu_erf_slope(v); });
    case Activation::kGeluQuick:
      return in_double(x, [](Vector64 v) HWY_ATTR { return gated_slope(v, 1.702); });
    case Activation::kRelu:
      return hn::IfThenElseZero(hn::Gt(x, hn::Zero(F32())), hn::Set(F32(), 1.0f));
    case Activation::kSilu:
      return in_double(x, [](Vector64 v) HWY_ATTR { return gated_slope(v, 1.0); });
    case Activation::kTanh:
      return in_double(x, [](Vector64 v) HWY_ATTR { return tanh_slope(v); });
  }
}

// What a functor does to a vector, so that the choice is made once and not for each vector.
struct Activated {
  template <Activation kActivation>
  HWY_INLINE Vector of(Vector x) const {
    return activated<kActivation>(x);
  }
};
struct Slope {
  template <Activation kActivation>
  HWY_INLINE Vector of(Vector x) const {
    return slope<kActivation>(x);
  }
};

template <class What, class F>
HWY_INLINE void with_choice(Activation activation, const F& f) {
  switch (activation) {
    case Activation::kNone:
      return f([](Vector x) HWY_ATTR { return What().template of<Activation::kNone>(x); });
    case Activation::kGeluTanh:
      return f([](Vector x) HWY_ATTR { return What().template of<Activation::kGeluTanh>(x); });
    case Activation::kGeluErf:
      return f([](Vector x) HWY_ATTR { return What().template of<Activation::kGeluErf>(x); });
    case Activation::kGeluQuick:
      return f([](Vector x) HWY_ATTR { return What().template of<Activation::kGeluQuick>(x); });
    case Activation::kRelu:
      return f([](Vector x) HWY_ATTR { return What().template of<Activation::kRelu>(x); });
    case Activation::kSilu:
      return f([](Vector x) HWY_ATTR { return What().template of<Activation::kSilu>(x); });
    case Activation::kTanh:
      return f([](Vector x) HWY_ATTR { return What().template of<Activation::kTanh>(x); });
  }
}

// f(a functor that activates a vector)
template <class F>
HWY_INLINE void with_activation(Activation activation, const F& f) {
  with_choice<Activated>(activation, f);
}

// f(a functor that gives the activation's derivative at a vector)
template <class F>
HWY_INLINE void with_slope(Activation activation, const F& f) {
  with_choice<Slope>(activation, f);
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#endif  // VITRINE_KERNELS_CPU_MATH_INL_H_
