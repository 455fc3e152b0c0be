#include "kernels/cpu/pack_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/pack_kernels.cc"
#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>

#include <algorithm>

#include "base/float_bits.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::cpu {
namespace HWY_NAMESPACE {

// A vector converted to the stored type.
HWY_INLINE Vector converted(Vector v, float) { return v; }

HWY_INLINE auto converted(Vector v, hwy::float16_t) {
  const hn::Rebind<hwy::float16_t, F32> to;
#if HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SCALAR || HWY_TARGET == HWY_EMU128
  HWY_ALIGN float lanes[kLanes];  // without an instruction for it, Highway's conversion does not round to nearest
  HWY_ALIGN uint16_t halves[kLanes];
  hn::Store(v, F32(), lanes);
  for (int i = 0; i < kLanes; ++i) halves[i] = f32_to_f16(lanes[i]);
  return hn::BitCast(to, hn::Load(hn::Rebind<uint16_t, F32>(), halves));
#else
  return hn::DemoteTo(to, v);
#endif
}

// Rounded to nearest, to even at ties; Highway cuts off what is left below bf16's last bit.
HWY_INLINE auto converted(Vector v, hwy::bfloat16_t) {
  const F32 d;
  const hn::RebindToUnsigned<F32> du;
  const auto bits = hn::BitCast(du, v), kept = hn::Set(du, 0xffff0000u);
  const auto odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::And(hn::Add(bits, hn::Add(odd, hn::Set(du, 0x7fffu))), kept);
  const auto quiet = hn::Or(hn::And(bits, kept), hn::Set(du, 0x400000u));
  return hn::DemoteTo(hn::Rebind<hwy::bfloat16_t, F32>(),
                      hn::IfThenElse(hn::IsNaN(v), hn::BitCast(d, quiet), hn::BitCast(d, rounded)));
}

// Sixteen values, converted, to memory that nobody reads soon: past the cache, which saves reading the line first.
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

// Outputs of one input lie side by side in the source: a line of the panel is a copy of sixteen of them.
template <class From, class To>
HWY_INLINE void pack_side_by_side(const From* from, int64_t in_stride, int64_t depth, To* to) {
  for (int64_t i = 0; i < depth; ++i) stream_line(from + i * in_stride, to + i * kPanel);
}

// Anything else, in squares of sixteen inputs and outputs that are turned over in the first cache.
template <class From, class To>
HWY_INLINE void pack_turned(const From* from, int64_t in_stride, int64_t out_stride, int64_t outputs, int64_t depth, To* to) {
  HWY_ALIGN From square[kPanel * kPanel] = {};
  for (int64_t begin = 0; begin < depth; begin += kPanel) {
    const int64_t inputs = std::min(kPanel, depth - begin);
    for (int64_t o = 0; o < outputs; ++o) {
      const From* run = from + begin * in_stride + o * out_stride;
      for (int64_t i = 0; i < inputs; ++i) square[i * kPanel + o] = run[i * in_stride];
    }
    for (int64_t i = 0; i < inputs; ++i) stream_line(square + i * kPanel, to + (begin + i) * kPanel);
  }
}

void pack_any_type(const HostWeight& source, const PackedMatrix& packed, std::byte* destination, int64_t panel,
                   int64_t in_begin, int64_t in_end) {
  with_weight_type(source.dtype, [&](auto from_type) HWY_ATTR {
    with_weight_type(packed.dtype, [&](auto to_type) HWY_ATTR {
      using From = decltype(from_type);
      using To = decltype(to_type);
      const From* from =
          static_cast<const From*>(source.data) + in_begin * source.in_stride + panel * kPanel * source.out_stride;
      To* to = reinterpret_cast<To*>(destination + panel * packed.panel_stride) + in_begin * kPanel;
      const int64_t outputs = std::min(kPanel, source.out - panel * kPanel), depth = in_end - in_begin;
      if (source.out_stride == 1 && outputs == kPanel) return pack_side_by_side(from, source.in_stride, depth, to);
      pack_turned(from, source.in_stride, source.out_stride, outputs, depth, to);
    });
  });
  hwy::FlushStream();
}

void unpack_any_type(const PackedMatrix& packed, int64_t column, float* to) {
  with_weight_type(packed.dtype, [&](auto type) HWY_ATTR {
    using W = decltype(type);
    const W* from = reinterpret_cast<const W*>(packed.data + column / kPanel * packed.panel_stride) + column % kPanel;
    HWY_ALIGN W line[kPanel] = {};
    for (int64_t begin = 0; begin < packed.in; begin += kPanel) {
      const int64_t count = std::min(kPanel, packed.in - begin);
      for (int64_t i = 0; i < count; ++i) line[i] = from[(begin + i) * kPanel];
      HWY_ALIGN float wide[kPanel];
      for (int64_t c = 0; c < kPanel; c += kLanes) store(load(line + c), wide + c);
      std::memcpy(to + begin, wide, static_cast<size_t>(count) * sizeof(float));
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::cpu {

HWY_EXPORT(pack_any_type);
HWY_EXPORT(unpack_any_type);

void pack_panel(const HostWeight& source, const PackedMatrix& packed, std::byte* destination, int64_t panel, int64_t in_begin,
                int64_t in_end) {
  HWY_DYNAMIC_DISPATCH(pack_any_type)(source, packed, destination, panel, in_begin, in_end);
}

void unpack_column(const PackedMatrix& packed, int64_t column, float* to) {
  HWY_DYNAMIC_DISPATCH(unpack_any_type)(packed, column, to);
}

}  // namespace vitrine::cpu
#endif
