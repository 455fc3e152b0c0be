// SPDX-License-Identifier: MIT
#include "kernels/cpu/attention_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_kernels.cc"
#include <hwy/foreach_target.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/ceil_div.h"
#include "kernels/cpu/math-inl.h"
#include "kernels/cpu/panel-inl.h"

HWY_BEFORE_NAMESPACE();
namespace vitrine::internal::cpu {
namespace HWY_NAMESPACE {

// A matrix in panels, from some input on.
struct Panels {
  const float* data;
  int64_t stride;
};

// sums (+)= one row times many panels; four at once, for one chain alone would wait for its
// additions.
HWY_INLINE void walk_row(const float* x, Panels w, int64_t panels, int64_t depth, float* sums,
                         Start start) {
  int64_t p = 0;
  for (; p + 4 <= panels; p += 4)
    walk_panels<1, 4>(x, 0, w.data + p * w.stride, w.stride, depth, sums + p * kPanel, 0, start);
  for (; p < panels; ++p)
    walk_panels<1, 1>(x, 0, w.data + p * w.stride, w.stride, depth, sums + p * kPanel, 0, start);
}

HWY_INLINE int64_t panels_for(int64_t length) { return ceil_div(length, kPanel); }

void scale_row(float* scores, int64_t length, float scale) {
  const Vector factor = hn::Set(F32(), scale);
  for (int64_t j = 0; j < length; j += kLanes) store(hn::Mul(load(scores + j), factor), scores + j);
}

void raw_scores(const AttentionArgs& args, const QueryTile& tile, ScoreRows scores) {
  const int64_t width = tile.layout.width;
  const float* q = args.q.row(tile.row(0)) + tile.head * width;
  const Panels keys{tile.layout.keys(args.cache + tile.sequence->cache, tile.head), kPanel * width};
  if (tile.rows == 1)
    return walk_row(q, keys, panels_for(tile.length(0)), width, scores.data, Start::kFresh);
  for (int64_t p = 0; p < panels_for(tile.longest()); ++p) {
    for (int64_t i = 0; i < tile.rows; i += kTileRows) {
      const int64_t rows = std::min<int64_t>(kTileRows, tile.rows - i);
      if (p >= panels_for(tile.length(i + rows - 1))) continue;  // all of it ahead of these queries
      walk_tile(rows, q + i * args.q.stride, args.q.stride, keys.data + p * keys.stride, width,
                scores.row(i) + p * kPanel, scores.stride, Start::kFresh);
    }
  }
}

void score_tile_vectors(const AttentionArgs& args, const QueryTile& tile, ScoreRows scores) {
  raw_scores(args, tile, scores);
  for (int64_t i = 0; i < tile.rows; ++i) scale_row(scores.row(i), tile.length(i), args.scale);
}

HWY_INLINE float highest_of(const float* x, int64_t n) {
  const F32 d;
  Vector highest = hn::Set(d, -std::numeric_limits<float>::infinity());
  int64_t j = 0;
  for (; j + kLanes <= n; j += kLanes) highest = hn::Max(highest, load(x + j));
  if (j < n)
    highest = hn::Max(highest, load_part(x + j, n - j, -std::numeric_limits<float>::infinity()));
  return highest_lane(highest);
}

// Position j adds to lane j mod kLanes whatever the length is, so a row's sum depends on its scores
// alone.
float softmax_vectors(const float* scores, int64_t length, float* pattern) {
  const F32 d;
  const float highest = highest_of(scores, length);
  const Vector shift = hn::Set(d, highest);
  Vector sum = hn::Zero(d);
  int64_t j = 0;
  for (; j + kLanes <= length; j += kLanes) {
    const Vector e = exp_nonpositive(hn::Sub(load(scores + j), shift));
    sum = hn::Add(sum, e);
    store(e, pattern + j);
  }
  if (j < length) {
    const Vector e = exp_nonpositive(
        hn::Sub(load_part(scores + j, length - j, -std::numeric_limits<float>::infinity()), shift));
    sum = hn::Add(sum, e);
    store_part(e, pattern + j, length - j);
  }
  const float total = hn::GetLane(hn::SumOfLanes(d, sum));
  const Vector inverse = hn::Set(d, 1.0f / total);
  for_each_vector(length, [&](const auto& load_at, const auto& store_at)
                              HWY_ATTR { store_at(hn::Mul(load_at(pattern), inverse), pattern); });
  return highest + static_cast<float>(std::log(static_cast<double>(total)));
}

constexpr int64_t kPositions = 256;  // of a panel of values: what stays in the first cache while
                                     // all rows of a tile pass over it

// What all queries of a tile of rows see, block by block; then what each sees beyond the first of
// them.
void mix_rows(std::byte* cache, const QueryTile& tile, ScoreRows pattern, float* sums,
              int64_t sums_stride) {
  const int64_t panels = tile.layout.value_panels();
  const Panels values{tile.layout.values(cache + tile.sequence->cache, tile.head),
                      kPanel * tile.layout.capacity};
  if (tile.rows == 1)
    return walk_row(pattern.data, values, panels, tile.length(0), sums, Start::kFresh);
  for (int64_t p = 0; p < panels; ++p) {
    for (int64_t begin = 0; begin < tile.length(tile.rows - 1); begin += kPositions) {
      for (int64_t i = 0; i < tile.rows; i += kTileRows) {
        const int64_t depth = std::min(kPositions, tile.length(i) - begin);
        if (depth <= 0) continue;
        walk_tile(std::min<int64_t>(kTileRows, tile.rows - i), pattern.row(i) + begin,
                  pattern.stride, values.data + p * values.stride + begin * kPanel, depth,
                  sums + i * sums_stride + p * kPanel, sums_stride,
                  begin == 0 ? Start::kFresh : Start::kGoOn);
      }
    }
  }
  for (int64_t i = 0; i < tile.rows; ++i) {
    const int64_t common = tile.length(i - i % kTileRows), more = tile.length(i) - common;
    const Panels rest{values.data + common * kPanel, values.stride};
    if (more > 0)
      walk_row(pattern.row(i) + common, rest, panels, more, sums + i * sums_stride, Start::kGoOn);
  }
}

void mix_tile_vectors(const AttentionArgs& args, const QueryTile& tile, ScoreRows pattern,
                      float* sums) {
  const int64_t width = tile.layout.width, stride = tile.layout.value_panels() * kPanel;
  mix_rows(args.cache, tile, pattern, sums, stride);
  for (int64_t i = 0; i < tile.rows; ++i) {
    std::memcpy(args.z.row(tile.row(i)) + tile.head * width, sums + i * stride,
                static_cast<size_t>(width) * sizeof(float));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vitrine::internal::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vitrine::internal::cpu {

HWY_EXPORT(score_tile_vectors);
HWY_EXPORT(softmax_vectors);
HWY_EXPORT(mix_tile_vectors);

void score_tile(const AttentionArgs& args, const QueryTile& tile, ScoreRows scores) {
  HWY_DYNAMIC_DISPATCH(score_tile_vectors)(args, tile, scores);
}

float softmax_row(const float* scores, int64_t length, float* pattern) {
  return HWY_DYNAMIC_DISPATCH(softmax_vectors)(scores, length, pattern);
}

void mix_tile(const AttentionArgs& args, const QueryTile& tile, ScoreRows pattern, float* sums) {
  HWY_DYNAMIC_DISPATCH(mix_tile_vectors)(args, tile, pattern, sums);
}

}  // namespace vitrine::internal::cpu
#endif
