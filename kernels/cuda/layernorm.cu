#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/elementwise.h"

// Layer normalization: a block for each row. Thread t takes the quads t, t + threads, ... of it, and keeps them in registers in
// rows of up to 2048 elements. Mean and variance are summed in double: each thread's quads in order, then block_sum(). The
// number of threads follows from the width alone, so that the order does, too.
//
// Weight and bias, which no kernel writes, are asked for before the previous kernel has ended.

namespace vitrine {
namespace {

using namespace cuda;

constexpr int kMostThreads = 256;

struct Norm {
  Rows<float> x;
  int64_t width;
  double inverse_width;
  const float* weight;
  const float* bias;
  bool aligned_weights;
  double epsilon;
  const float* given_scale;  ///< or null: measure it
  float* scale;              ///< or null
  int64_t scale_stride;
};

// kHeld: how many quads a thread has in registers; 0: it has more than two and reads them again each time.
template <int kHeld>
using Held = Quad[kHeld > 0 ? kHeld : 1];

/// f(column, elements there, slot) for each of the thread's quads.
template <int kHeld, class F>
VITRINE_DEVICE void for_each_quad(int64_t width, const F& f) {
  const int64_t first = static_cast<int64_t>(threadIdx.x) * kQuad, step = static_cast<int64_t>(blockDim.x) * kQuad;
  const auto at = [&](int64_t column, int slot) {
    const int64_t left = width - column;
    f(column, left < kQuad ? static_cast<int>(left) : kQuad, slot);
  };
  if constexpr (kHeld > 0) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      if (first + i * step < width) at(first + i * step, i);
    }
  } else {
    for (int64_t column = first; column < width; column += step) at(column, 0);
  }
}

template <int kHeld>
VITRINE_DEVICE float mean_of(const Norm& n, int64_t row, Held<kHeld>& x, double* slots) {
  double sum = 0.0;
  for_each_quad<kHeld>(n.width, [&](int64_t column, int count, int slot) {
    x[slot] = load_quad(n.x.at(row, column), count, n.x.aligned && count == kQuad);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) sum += static_cast<double>(x[slot].x[i]);  // what is not there is 0
  });
  return static_cast<float>(block_sum(sum, slots) * n.inverse_width);
}

template <int kHeld>
VITRINE_DEVICE float scale_of(const Norm& n, int64_t row, Held<kHeld>& x, float mean, double* slots) {
  double squares = 0.0;
  for_each_quad<kHeld>(n.width, [&](int64_t column, int count, int slot) {
    if constexpr (kHeld == 0) x[slot] = load_quad(n.x.at(row, column), count, n.x.aligned && count == kQuad);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) {
      const double distance = i < count ? static_cast<double>(x[slot].x[i] - mean) : 0.0;
      squares += distance * distance;
    }
  });
  return sqrtf(static_cast<float>(block_sum(squares, slots) * n.inverse_width + n.epsilon));
}

template <class Y, int kHeld>
__global__ void __launch_bounds__(kMostThreads) layernorm_row(Norm n, Rows<Y> out) {
  const int64_t row = blockIdx.x;
  Held<kHeld> x, weight, bias;
  const auto load_weights = [&](int64_t column, int count, int slot) {
    weight[slot] = load_quad(n.weight + column, count, n.aligned_weights && count == kQuad);
    bias[slot] = load_quad(n.bias + column, count, n.aligned_weights && count == kQuad);
  };
  if (kHeld > 0 && out.data != nullptr) for_each_quad<kHeld>(n.width, load_weights);
  wait_for_previous_kernel();
  let_next_kernel_start();

  double* slots = shared_memory<double>();
  const float mean = mean_of<kHeld>(n, row, x, slots);
  const float scale = n.given_scale != nullptr ? n.given_scale[row * n.scale_stride]
                                               : scale_of<kHeld>(n, row, x, mean, slots + kMostThreads / kWarp);
  if (n.scale != nullptr && threadIdx.x == 0) n.scale[row * n.scale_stride] = scale;
  if (out.data == nullptr) return;

  const float inverse = 1.0f / scale;
  for_each_quad<kHeld>(n.width, [&](int64_t column, int count, int slot) {
    if constexpr (kHeld == 0) {
      x[slot] = load_quad(n.x.at(row, column), count, n.x.aligned && count == kQuad);
      load_weights(column, count, slot);
    }
    Quad y;
#pragma unroll
    for (int i = 0; i < kQuad; ++i) y.x[i] = (x[slot].x[i] - mean) * inverse * weight[slot].x[i] + bias[slot].x[i];
    store_quad(out.at(row, column), y, count, out.aligned && count == kQuad);
  });
}

template <class Y>
void run(Device& device, const Norm& n, Rows<Y> out, int64_t rows) {
  const int64_t quads = ceil_div(n.width, kQuad);
  const LaunchShape shape{.grid = dim3(rows),
                          .block = dim3(threads_for(quads, kMostThreads)),
                          .shared = 2 * (kMostThreads / kWarp) * sizeof(double),
                          .may_start_early = true};
  if (quads <= kMostThreads)
    launch(device, shape, layernorm_row<Y, 1>, n, out);
  else if (quads <= 2 * kMostThreads)
    launch(device, shape, layernorm_row<Y, 2>, n, out);
  else
    launch(device, shape, layernorm_row<Y, 0>, n, out);
}

Norm norm_of(Mat x, float epsilon) {
  Norm n{};
  n.x = float_rows(x, "a layernorm's input");
  n.width = x.cols;
  n.inverse_width = 1.0 / static_cast<double>(x.cols);
  n.epsilon = static_cast<double>(epsilon);
  return n;
}

void normalize(Device& device, Norm n, const LayerNormArgs& args) {
  n.weight = args.weight;
  n.bias = args.bias;
  n.aligned_weights = Rows<const float>(args.weight, kQuad).aligned && Rows<const float>(args.bias, kQuad).aligned;
  n.scale_stride = args.scale.stride;
  with_element(args.out.dtype, [&](auto y) { run(device, n, Rows<decltype(y)>(args.out), args.x.rows); });
}

}  // namespace

void CudaBackend::layernorm(const LayerNormArgs& args) {
  Norm n = norm_of(args.x, args.epsilon);
  n.scale = args.scale.f32();
  normalize(*device_, n, args);
}

void CudaBackend::layernorm_scale(Mat x, float epsilon, Mat scale) {
  Norm n = norm_of(x, epsilon);
  n.scale = scale.f32();
  n.scale_stride = scale.stride;
  run(*device_, n, Rows<float>(), x.rows);
}

void CudaBackend::layernorm_apply(const LayerNormArgs& args) {
  Norm n = norm_of(args.x, args.epsilon);
  n.given_scale = args.scale.f32();
  normalize(*device_, n, args);
}

}  // namespace vitrine
