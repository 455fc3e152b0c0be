// SPDX-License-Identifier: MIT
#include "kernels/cpu/pack_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pack_kernels.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>

#include <algorithm>
#include <bit>
#include <limits>

#include "base/float_bits.h"
#include "kernels/cpu/bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

// A vector converted to the stored type.
HWY_INLINE Vector converted(Vector v, float) { return v; }

HWY_INLINE auto converted(Vector v, hwy::float16_t) {
  const hn::Rebind<hwy::float16_t, F32> to;
#if HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  HWY_ALIGN float lanes[kLanes];  // without an instruction for it, Highway's conversion does not
                                  // round to nearest
  HWY_ALIGN uint16_t halves[kLanes];
  hn::Store(v, F32(), lanes);
  for (int i = 0; i < kLanes; ++i) halves[i] = f32_to_f16(lanes[i]);
  return hn::BitCast(to, hn::Load(hn::Rebind<uint16_t, F32>(), halves));
#else
  return hn::DemoteTo(to, v);
#endif
}

HWY_INLINE auto converted(Vector v, hwy::bfloat16_t) { return to_bf16(v); }

// Converts sixteen values with a non-temporal store, which saves reading the line first.
template <class From, class To>
HWY_INLINE void stream_line(const From* from, To* to) {
  const hn::Rebind<To, F32> d;
  for (int64_t c = 0; c < kPanel; c += kLanes) {
    const auto v = converted(load(from + c), To());
    if constexpr (kLanes * sizeof(To) >= 16) {
      hn::Stream(v, d, to + c);
    } else {  // less than the narrowest streaming store
      hn::StoreU(v, d, to + c);
    }
  }
}

// f(i, sixteen) for the inputs [in_begin, in_end) of a panel: their sixteen outputs side by side;
// those that are not there are zeros. Outputs that lie so in the source are passed on as they lie,
// anything else in squares of sixteen inputs and outputs that are turned over in the first cache.
template <class From, class F>
HWY_INLINE void for_each_input(const HostWeight& source, int64_t panel, int64_t in_begin,
                               int64_t in_end, const F& f) {
  const From* from = static_cast<const From*>(source.data) + panel * kPanel * source.out_stride;
  const int64_t outputs = std::min(kPanel, source.out - panel * kPanel);
  if (source.out_stride == 1 && outputs == kPanel) {
    for (int64_t i = in_begin; i < in_end; ++i) f(i, from + i * source.in_stride);
    return;
  }
  HWY_ALIGN From square[kPanel * kPanel] = {};
  for (int64_t begin = in_begin; begin < in_end; begin += kPanel) {
    const int64_t inputs = std::min(kPanel, in_end - begin);
    for (int64_t o = 0; o < outputs; ++o) {
      const From* run = from + begin * source.in_stride + o * source.out_stride;
      for (int64_t i = 0; i < inputs; ++i)
        std::memcpy(square + i * kPanel + o, run + i * source.in_stride, sizeof(From));
    }
    for (int64_t i = 0; i < inputs; ++i) f(begin + i, square + i * kPanel);
  }
}

void pack_any_type(const HostWeight& source, const PackedMatrix& packed, std::byte* destination,
                   int64_t panel, int64_t in_begin, int64_t in_end) {
  with_float_type(source.dtype, [&](auto from_type) HWY_ATTR {
    with_float_type(packed.dtype, [&](auto to_type) HWY_ATTR {
      using From = decltype(from_type);
      auto* to = reinterpret_cast<decltype(to_type)*>(destination + panel * packed.panel_stride);
      for_each_input<From>(source, panel, in_begin, in_end,
                           [&](int64_t i, const From* line)
                               HWY_ATTR { stream_line(line, to + i * kPanel); });
    });
  });
  hwy::FlushStream();
}

using I32 = hn::RebindToSigned<F32>;
using Bytes = hn::Rebind<int8_t, F32>;

// The scale of weights whose largest size has these bits.
float scale_of(int32_t bits) {
  constexpr int32_t kInfinity = 0x7f800000;
  if (bits >= kInfinity) return std::numeric_limits<float>::quiet_NaN();
  const float scale = std::bit_cast<float>(bits) / 127.0f;
  return scale < std::numeric_limits<float>::min()
             ? 0.0f
             : scale;  // a quotient by a subnormal number may be anything
}

// Widens the inputs of a panel and finds each output's scale. Sizes of floats are ordered as their
// bits are, with infinities and then NaNs at the end.
template <class From>
HWY_INLINE void widen_panel(const HostWeight& source, int64_t panel, float* wide, float* scales) {
  const I32 d;
  hn::Vec<I32> largest[kVectors];
  for (auto& v : largest) v = hn::Zero(d);
  for_each_input<From>(source, panel, 0, source.in, [&](int64_t i, const From* line) HWY_ATTR {
    for (int v = 0; v < kVectors; ++v) {
      const Vector w = load(line + v * kLanes);
      store(w, wide + i * kPanel + v * kLanes);
      largest[v] = hn::Max(largest[v], hn::BitCast(d, hn::Abs(w)));
    }
  });
  HWY_ALIGN int32_t bits[kPanel];
  for (int v = 0; v < kVectors; ++v) hn::Store(largest[v], d, bits + v * kLanes);
  for (int64_t o = 0; o < kPanel; ++o) scales[o] = scale_of(bits[o]);
}

void quantise_any_type(const HostWeight& source, int64_t panel, std::byte* destination,
                       float* scales, float* wide) {
  with_float_type(source.dtype, [&](auto type) HWY_ATTR {
    widen_panel<decltype(type)>(source, panel, wide, scales);
  });
  auto* to = reinterpret_cast<int8_t*>(destination);
  for (int64_t i = 0; i < source.in; ++i) {
    for (int v = 0; v < kVectors; ++v) {
      const Vector scale = load(scales + v * kLanes),
                   quotient = hn::Div(load(wide + i * kPanel + v * kLanes), scale);
      const Vector known = hn::IfThenElseZero(hn::Gt(scale, hn::Zero(F32())), quotient);
      hn::StoreU(hn::DemoteTo(Bytes(), hn::NearestInt(known)), Bytes(),
                 to + i * kPanel + v * kLanes);
    }
  }
}

void unpack_any_type(const PackedMatrix& packed, int64_t column, float* to) {
  with_weight_type(packed.dtype, [&](auto type) HWY_ATTR {
    using W = decltype(type);
    const W* from =
        reinterpret_cast<const W*>(packed.data + column / kPanel * packed.panel_stride) +
        column % kPanel;
    HWY_ALIGN W line[kPanel] = {};
    for (int64_t begin = 0; begin < packed.in; begin += kPanel) {
      const int64_t count = std::min(kPanel, packed.in - begin);
      for (int64_t i = 0; i < count; ++i) line[i] = from[(begin + i) * kPanel];
      HWY_ALIGN float wide[kPanel];
      for (int64_t c = 0; c < kPanel; c += kLanes) {
        const Vector weights = load(line + c);
        store(packed.scales == nullptr ? weights
                                       : hn::Mul(weights, hn::Set(F32(), packed.scales[column])),
              wide + c);
      }
      std::memcpy(to + begin, wide, static_cast<size_t>(count) * sizeof(float));
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal::cpu {

HWY_EXPORT(pack_any_type);
HWY_EXPORT(quantise_any_type);
HWY_EXPORT(unpack_any_type);

void pack_panel(const HostWeight& source, const PackedMatrix& packed, std::byte* destination,
                int64_t panel, int64_t in_begin, int64_t in_end) {
  HWY_DYNAMIC_DISPATCH(pack_any_type)(source, packed, destination, panel, in_begin, in_end);
}

void quantise_panel(const HostWeight& source, int64_t panel, std::byte* destination, float* scales,
                    float* wide) {
  HWY_DYNAMIC_DISPATCH(quantise_any_type)(source, panel, destination, scales, wide);
}

void unpack_column(const PackedMatrix& packed, int64_t column, float* to) {
  HWY_DYNAMIC_DISPATCH(unpack_any_type)(packed, column, to);
}

}  // namespace vitrine::internal::cpu
#endif
