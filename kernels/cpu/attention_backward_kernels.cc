// SPDX-License-Identifier: MIT
#include "kernels/cpu/attention_backward_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_backward_kernels.cc"
#include <hwy/foreach_target.h>

#include <algorithm>

#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

void softmax_backward_vectors(const float* pattern, const float* dpattern, int64_t length,
                              float* dscores) {
  WideSum sum;
  int64_t j = 0;
  for (; j + kLanes <= length; j += kLanes) sum.add_product(load(pattern + j), load(dpattern + j));
  if (j < length)
    sum.add_product(load_part(pattern + j, length - j), load_part(dpattern + j, length - j));
  const Vector mean = hn::Set(F32(), static_cast<float>(sum.total()));
  for_each_vector(length, [&](const auto& load_at, const auto& store_at) HWY_ATTR {
    store_at(hn::Mul(load_at(pattern), hn::Sub(load_at(dpattern), mean)), dscores);
  });
}

// One chain over the queries for each key and channel, in ascending order, whatever the tiles are.
// Keys after the tile's first query are seen by its later queries only, so each key starts at its
// own first query.
void add_to_keys_vectors(const QueryTile& tile, ScoreRows weights, const float* packed,
                         float* sums) {
  const int64_t panels = tile.layout.value_panels(), stride = panels * kPanel,
                common = tile.length(0);
  for (int64_t p = 0; p < panels; ++p) {
    const float* x = packed + p * QueryTile::kQueryTile * kPanel;
    for (int64_t j = 0; j < common; j += kTileRows) {
      walk_tile<true>(std::min<int64_t>(kTileRows, common - j), weights.data + j, weights.stride, x,
                      tile.rows, sums + j * stride + p * kPanel, stride, Start::kGoOn);
    }
    for (int64_t j = common; j < tile.longest(); ++j) {
      const int64_t first = j - common + 1;
      walk_tile<true>(1, weights.row(first) + j, weights.stride, x + first * kPanel,
                      tile.rows - first, sums + j * stride + p * kPanel, stride, Start::kGoOn);
    }
  }
}

void scale_vectors(const float* x, int64_t n, float factor, float* out) {
  for_each_vector(n, [&](const auto& load_at, const auto& store_at)
                         HWY_ATTR { store_at(hn::Mul(load_at(x), hn::Set(F32(), factor)), out); });
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal::cpu {

HWY_EXPORT(softmax_backward_vectors);
HWY_EXPORT(add_to_keys_vectors);
HWY_EXPORT(scale_vectors);

void softmax_backward_row(const float* pattern, const float* dpattern, int64_t length,
                          float* dscores) {
  HWY_DYNAMIC_DISPATCH(softmax_backward_vectors)(pattern, dpattern, length, dscores);
}

void pack_query_rows(Mat x, const QueryTile& tile, int64_t column, float* packed) {
  constexpr int64_t kPanel = KvLayout::kPanel;
  const int64_t width = tile.layout.width;
  for (int64_t p = 0; p < tile.layout.value_panels(); ++p) {
    const int64_t count = std::min(kPanel, width - p * kPanel);
    for (int64_t i = 0; i < tile.rows; ++i) {
      const float* from = x.row(tile.row(i)) + column + p * kPanel;
      float* to = packed + (p * QueryTile::kQueryTile + i) * kPanel;
      std::fill(std::copy(from, from + count, to), to + kPanel, 0.0f);
    }
  }
}

void add_to_keys(const QueryTile& tile, ScoreRows weights, const float* packed, float* sums) {
  HWY_DYNAMIC_DISPATCH(add_to_keys_vectors)(tile, weights, packed, sums);
}

void scaled_row(const float* x, int64_t n, float factor, float* out) {
  HWY_DYNAMIC_DISPATCH(scale_vectors)(x, n, factor, out);
}

}  // namespace vitrine::internal::cpu
#endif
