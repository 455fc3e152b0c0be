// SPDX-License-Identifier: MIT
#include "kernels/cuda/norm/layernorm_row.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// The gradient of layer normalization: a block for each row (norm/layernorm_row.cuh), with up to
// four sums over it: mean, scale, the scale's gradient and the mean of dc. What the halves hand
// over, dscale, is rounded to float32 in the whole, too.

namespace vitrine::internal {
namespace {

using namespace cuda;

/// LayerNormBackwardArgs as a kernel takes them.
struct Gradient : NormRows {
  const float* weight;
  bool aligned_weight;
  bool frozen;
  Rows<float> scale, given_dscale, dscale;  ///< each may be null
  Rows<float> residual, dx;

  explicit Gradient(const LayerNormBackwardArgs& args)
      : NormRows(args.x, args.epsilon),
        weight(args.weight),
        aligned_weight(Rows<const float>(args.weight, kQuad).aligned),
        frozen(args.frozen),
        scale(float_rows(args.scale, "a layernorm's scale")),
        residual(float_rows(args.residual, "a layernorm's residual")) {}
};

template <class Y, int kHeld>
struct GradientRow {
  const Gradient& g;
  const Rows<Y>& dy;
  int64_t row;
  float mean = 0.0f;
  Held<kHeld> x, n;  ///< n is dy * weight

  VITRINE_DEVICE GradientRow(const Gradient& gradient, const Rows<Y>& rows, int64_t index)
      : g(gradient), dy(rows), row(index) {}

  VITRINE_DEVICE void load_n(int64_t column, int count, int slot) {
    n[slot] = load_quad(dy.at(row, column), count, dy.aligned && count == kQuad);
    const Quad weight = load_quad(g.weight + column, count, g.aligned_weight && count == kQuad);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) n[slot].x[i] *= weight.x[i];
  }
  /// x and n of a quad where they are not held.
  VITRINE_DEVICE void load_again(int64_t column, int count, int slot) {
    if constexpr (kHeld > 0) return;
    x[slot] = load_quad(g.x.at(row, column), count, g.x.aligned && count == kQuad);
    load_n(column, count, slot);
  }

  VITRINE_DEVICE float dscale(float scale, double* slots) {
    double sum = 0.0;
    for_each_quad<kHeld>(g.width, [&](int64_t column, int count, int slot) {
      load_again(column, count, slot);
#pragma unroll
      for (int i = 0; i < kQuad; ++i)
        sum += static_cast<double>(n[slot].x[i]) * static_cast<double>(x[slot].x[i] - mean);
    });
    const auto e = static_cast<double>(scale);
    return static_cast<float>(-block_sum(sum, slots) / (e * e));
  }

  /// dc of a quad; `share` is what reaches it of dscale for each unit of distance from the mean.
  VITRINE_DEVICE Quad dc(int slot, float inverse, float share, int count) const {
    Quad result;
#pragma unroll
    for (int i = 0; i < kQuad; ++i)
      result.x[i] = i < count ? n[slot].x[i] * inverse + share * (x[slot].x[i] - mean) : 0.0f;
    return result;
  }

  VITRINE_DEVICE void store_dx(float inverse, float share, double* slots) {
    double sum = 0.0;
    for_each_quad<kHeld>(g.width, [&](int64_t column, int count, int slot) {
      load_again(column, count, slot);
      const Quad own = dc(slot, inverse, share, count);
#pragma unroll
      for (int i = 0; i < kQuad; ++i) sum += static_cast<double>(own.x[i]);
    });
    const auto mean_dc = static_cast<float>(block_sum(sum, slots) * g.inverse_width);
    for_each_quad<kHeld>(g.width, [&](int64_t column, int count, int slot) {
      load_again(column, count, slot);
      Quad y = dc(slot, inverse, share, count);
#pragma unroll
      for (int i = 0; i < kQuad; ++i) y.x[i] -= mean_dc;
      if (g.residual.data != nullptr)
        add(y, load_quad(g.residual.at(row, column), count, g.residual.aligned && count == kQuad));
      store_quad(g.dx.at(row, column), y, count, g.dx.aligned && count == kQuad);
    });
  }
};

template <class Y, int kHeld>
__global__ void __launch_bounds__(kMostNormThreads) layernorm_row_backward(Gradient g, Rows<Y> dy) {
  wait_for_previous_kernel();
  let_next_kernel_start();
  double* slots = shared_memory<double>();
  GradientRow<Y, kHeld> at(g, dy, blockIdx.x);
  if constexpr (kHeld > 0)
    for_each_quad<kHeld>(
        g.width, [&](int64_t column, int count, int slot) { at.load_n(column, count, slot); });
  at.mean = mean_of<kHeld>(g, at.row, at.x, slots);

  const bool passes_scale = g.dx.data != nullptr && !g.frozen;
  float own_scale = 0.0f, scale = 0.0f, dscale = 0.0f;
  if (g.scale.data == nullptr || passes_scale)
    own_scale = scale_of<kHeld>(g, at.row, at.x, at.mean, slots + kNormWarps);
  scale = g.scale.data == nullptr ? own_scale : *g.scale.at(at.row, 0);
  if (g.given_dscale.data != nullptr)
    dscale = *g.given_dscale.at(at.row, 0);
  else if (g.dscale.data != nullptr || passes_scale)
    dscale = at.dscale(scale, slots + 2 * kNormWarps);
  if (g.dscale.data != nullptr && threadIdx.x == 0) *g.dscale.at(at.row, 0) = dscale;
  if (g.dx.data == nullptr) return;
  const float share = g.frozen
                          ? 0.0f
                          : static_cast<float>(static_cast<double>(dscale) /
                                               static_cast<double>(own_scale) * g.inverse_width);
  at.store_dx(1.0f / scale, share, slots + 3 * kNormWarps);
}

void run(Device& device, const Gradient& g, const LayerNormBackwardArgs& args) {
  with_element(args.dy.dtype, [&](auto y) {
    using Y = decltype(y);
    with_norm_shape(args.x.rows, args.x.cols, 4, [&](const LaunchShape& shape, auto held) {
      launch(device, shape, layernorm_row_backward<Y, held.value>, g, Rows<Y>(args.dy));
    });
  });
}

}  // namespace

void CudaBackend::layernorm_backward(const LayerNormBackwardArgs& args) {
  Gradient g(args);
  g.dscale = float_rows(args.dscale, "a scale's gradient");
  g.dx = float_rows(args.dx, "a layernorm's gradient");
  run(*device_, g, args);
}

void CudaBackend::layernorm_backward_scale(const LayerNormBackwardArgs& args) {
  Gradient g(args);
  g.dscale = float_rows(args.dscale, "a scale's gradient");
  run(*device_, g, args);
}

void CudaBackend::layernorm_backward_apply(const LayerNormBackwardArgs& args) {
  Gradient g(args);
  g.given_dscale = float_rows(args.dscale, "a scale's gradient");
  g.dx = float_rows(args.dx, "a layernorm's gradient");
  run(*device_, g, args);
}

}  // namespace vitrine::internal
