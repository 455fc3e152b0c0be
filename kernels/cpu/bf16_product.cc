// SPDX-License-Identifier: MIT
#include "kernels/cpu/bf16_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/bf16_product.cc"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "kernels/cpu/bf16-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

using U32 = hn::RebindToUnsigned<F32>;

void narrow_vectors(const float* from, int64_t count, uint16_t* to) {
  const hn::Rebind<hwy::bfloat16_t, F32> d;
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes)
    hn::StoreU(to_bf16(load(from + j)), d, reinterpret_cast<hwy::bfloat16_t*>(to + j));
  if (j == count) return;
  HWY_ALIGN hwy::bfloat16_t lanes[kLanes];
  hn::Store(to_bf16(load_part(from + j, count - j)), d, lanes);
  std::memcpy(to + j, lanes, static_cast<size_t>(count - j) * sizeof(uint16_t));
}

void widen_vectors(const uint16_t* from, int64_t count, float* to) {
  const auto* numbers = reinterpret_cast<const hwy::bfloat16_t*>(from);
  int64_t j = 0;
  for (; j + kLanes <= count; j += kLanes) store(load(numbers + j), to + j);
  if (j == count) return;
  HWY_ALIGN hwy::bfloat16_t lanes[kLanes] = {};
  std::memcpy(lanes, numbers + j, static_cast<size_t>(count - j) * sizeof(uint16_t));
  store_part(load(lanes), to + j, count - j);
}

// --- weights

template <class W>
HWY_INLINE void pair_panel(const W* w, int64_t inputs, const std::array<uint8_t, kChunk>& order,
                           uint16_t* to) {
  const U32 d;
  const auto bits_of = [&](int64_t input, int64_t v) HWY_ATTR {
    return input < inputs ? hn::BitCast(d, load(w + input * kPanel + v)) : hn::Zero(d);
  };
  for (int64_t pair = 0; pair < kChunk / 2; ++pair) {
    for (int64_t v = 0; v < kPanel; v += kLanes) {
      const auto low = bits_of(order[2 * pair], v), high = bits_of(order[2 * pair + 1], v);
      const auto both = hn::Or(hn::ShiftRight<16>(low), hn::And(high, hn::Set(d, 0xffff0000u)));
      hn::StoreU(both, d, reinterpret_cast<uint32_t*>(to) + pair * kPanel + v);
    }
  }
}

void pair_any_type(const PackedMatrix& weight, int64_t panel, int64_t chunk,
                   const std::array<uint8_t, kChunk>& order, uint16_t* to) {
  with_weight_type(weight.dtype, [&](auto type) HWY_ATTR {
    using W = decltype(type);
    const W* w = reinterpret_cast<const W*>(weight.data + panel * weight.panel_stride);
    pair_panel(w + chunk * kChunk * kPanel, std::min(kChunk, weight.in - chunk * kChunk), order,
               to);
  });
}

// --- the product

constexpr int kRowsAtOnce = kLanes >= 16 ? 6 : 2;       // with both their chains
constexpr int kColumns = kVectors < 2 ? kVectors : 2;   // vectors of outputs at once
constexpr int64_t kColumnGroups = kVectors / kColumns;  // of a panel

HWY_INLINE Vector even(hn::Vec<U32> pairs) { return hn::BitCast(F32(), hn::ShiftLeft<16>(pairs)); }
HWY_INLINE Vector odd(hn::Vec<U32> pairs) {
  return hn::BitCast(F32(), hn::And(pairs, hn::Set(U32(), 0xffff0000u)));
}

// One chunk's sums of a few rows and outputs, added to `sums`.
template <int kRows>
HWY_INLINE void add_chunk(const uint32_t* x, const uint32_t* weights, float* sums) {
  const U32 d;
  Vector evens[kRows][kColumns], odds[kRows][kColumns];
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) evens[r][c] = odds[r][c] = hn::Zero(F32());
  }
  for (int64_t p = 0; p < kChunk / 2; ++p) {
    Vector even_weights[kColumns], odd_weights[kColumns];
    for (int c = 0; c < kColumns; ++c) {
      const auto pairs = hn::LoadU(d, weights + p * kPanel + c * kLanes);
      even_weights[c] = even(pairs);
      odd_weights[c] = odd(pairs);
    }
    for (int r = 0; r < kRows; ++r) {
      const auto pair = hn::Set(d, x[r * (kChunk / 2) + p]);
      const Vector even_x = even(pair), odd_x = odd(pair);
      for (int c = 0; c < kColumns; ++c) {
        evens[r][c] = hn::MulAdd(even_x, even_weights[c], evens[r][c]);
        odds[r][c] = hn::MulAdd(odd_x, odd_weights[c], odds[r][c]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int c = 0; c < kColumns; ++c) {
      float* to = sums + r * 2 * kPanel + c * kLanes;
      store(hn::Add(load(to), hn::Add(evens[r][c], odds[r][c])), to);
    }
  }
}

// As many rows at once as there are, up to kRows.
template <int kRows>
HWY_INLINE void add_rows(int64_t rows, const uint32_t* x, const uint32_t* weights, float* sums) {
  for (; rows >= kRows; rows -= kRows, x += kRows * kChunk / 2, sums += kRows * 2 * kPanel)
    add_chunk<kRows>(x, weights, sums);
  if constexpr (kRows > 1) {
    if (rows > 0) add_rows<kRows - 1>(rows, x, weights, sums);
  }
}

void multiply_vectors(const Bf16Product& product) {
  const uint16_t* tile = product.x;
  for (int64_t first = 0; first < product.rows; first += kChunkRows, tile += product.tile_stride) {
    for (int64_t i = 0; i < product.chunks * 2 * kColumnGroups; ++i) {
      const int64_t chunk = i / (2 * kColumnGroups), panel = i / kColumnGroups % 2,
                    column = i % kColumnGroups * kColumns * kLanes;
      const uint16_t* x = tile + chunk * kChunkNumbers;
      const uint16_t* weights = product.weights + (2 * chunk + panel) * kChunkNumbers;
      add_rows<kRowsAtOnce>(std::min(kChunkRows, product.rows - first),
                            reinterpret_cast<const uint32_t*>(x),
                            reinterpret_cast<const uint32_t*>(weights) + column,
                            product.sums + (2 * first + panel) * kPanel + column);
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal::cpu {

HWY_EXPORT(narrow_vectors);
HWY_EXPORT(widen_vectors);
HWY_EXPORT(pair_any_type);
HWY_EXPORT(multiply_vectors);

const Bf16Unit kPortableBf16 = {"float32 multiply-adds",
                                [](const Bf16Product& product) {
                                  HWY_DYNAMIC_DISPATCH(multiply_vectors)(product);
                                },
                                kNeighbours};

void narrow_row(const float* from, int64_t count, uint16_t* to) {
  HWY_DYNAMIC_DISPATCH(narrow_vectors)(from, count, to);
}

void widen_row(const uint16_t* from, int64_t count, float* to) {
  HWY_DYNAMIC_DISPATCH(widen_vectors)(from, count, to);
}

void pair_weights(const PackedMatrix& weight, int64_t panel, int64_t chunk,
                  const std::array<uint8_t, kChunk>& order, uint16_t* to) {
  HWY_DYNAMIC_DISPATCH(pair_any_type)(weight, panel, chunk, order, to);
}

}  // namespace vitrine::internal::cpu
#endif
