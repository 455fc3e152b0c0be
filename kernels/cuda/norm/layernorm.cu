// SPDX-License-Identifier: MIT
#include "kernels/cuda/norm/layernorm_row.cuh"
#include "kernels/cuda/runtime/cuda_backend.h"

// Layer normalization: a block for each row (norm/layernorm_row.cuh). Weight and bias, which no
// kernel writes, are loaded before the previous kernel has ended.

namespace vitrine::internal {
namespace {

using namespace cuda;

struct Norm : NormRows {
  using NormRows::NormRows;
  const float* weight = nullptr;
  const float* bias = nullptr;
  bool aligned_weights = false;
  const float* given_scale = nullptr;  ///< or null: measure it
  float* scale = nullptr;              ///< or null
  int64_t scale_stride = 0;
};

template <class Y, int kHeld>
__global__ void __launch_bounds__(kMostNormThreads) layernorm_row(Norm n, Rows<Y> out) {
  const int64_t row = blockIdx.x;
  Held<kHeld> x, weight, bias;
  const auto load_weights = [&](int64_t column, int count, int slot) {
    weight[slot] = load_quad(n.weight + column, count, n.aligned_weights && count == kQuad);
    bias[slot] = load_quad(n.bias + column, count, n.aligned_weights && count == kQuad);
  };
  if (kHeld > 0 && out.data != nullptr) for_each_quad<kHeld>(n.width, load_weights);
  let_next_kernel_start();
  wait_for_previous_kernel();

  double* slots = shared_memory<double>();
  const float mean = mean_of<kHeld>(n, row, x, slots);
  const float scale = n.given_scale != nullptr
                          ? n.given_scale[row * n.scale_stride]
                          : scale_of<kHeld>(n, row, x, mean, slots + kNormWarps);
  if (n.scale != nullptr && threadIdx.x == 0) n.scale[row * n.scale_stride] = scale;
  if (out.data == nullptr) return;

  const float inverse = 1.0f / scale;
  for_each_quad<kHeld>(n.width, [&](int64_t column, int count, int slot) {
    if constexpr (kHeld == 0) {
      x[slot] = load_quad(n.x.at(row, column), count, n.x.aligned && count == kQuad);
      load_weights(column, count, slot);
    }
    const Quad y = normalized(x[slot], mean, inverse, weight[slot], bias[slot]);
    store_quad(out.at(row, column), y, count, out.aligned && count == kQuad);
  });
}

template <class Y>
void run(Device& device, const Norm& n, Rows<Y> out, int64_t rows) {
  with_norm_shape(rows, n.width, 2, [&](const LaunchShape& shape, auto held) {
    launch(device, shape, layernorm_row<Y, held.value>, n, out);
  });
}

void normalize(Device& device, Norm n, const LayerNormArgs& args) {
  n.weight = args.weight;
  n.bias = args.bias;
  n.aligned_weights =
      Rows<const float>(args.weight, kQuad).aligned && Rows<const float>(args.bias, kQuad).aligned;
  n.scale_stride = args.scale.stride;
  with_element(args.out.dtype,
               [&](auto y) { run(device, n, Rows<decltype(y)>(args.out), args.x.rows); });
}

}  // namespace

void CudaBackend::layernorm(const LayerNormArgs& args) {
  Norm n(args.x, args.epsilon);
  n.scale = args.scale.f32();
  normalize(*device_, n, args);
}

void CudaBackend::layernorm_scale(Mat x, float epsilon, Mat scale) {
  Norm n(x, epsilon);
  n.scale = scale.f32();
  n.scale_stride = scale.stride;
  run(*device_, n, Rows<float>(), x.rows);
}

void CudaBackend::layernorm_apply(const LayerNormArgs& args) {
  Norm n(args.x, args.epsilon);
  n.given_scale = args.scale.f32();
  normalize(*device_, n, args);
}

}  // namespace vitrine::internal
