#include <cmath>

#include "kernels/cpu/cpu_backend.h"

namespace vitrine {
namespace {

float mean_of(const float* x, int64_t n) {
  double sum = 0.0;
  for (int64_t j = 0; j < n; ++j) sum += x[j];
  return static_cast<float>(sum / static_cast<double>(n));
}

float scale_of(const float* x, int64_t n, float mean, float epsilon) {
  double sum = 0.0;
  for (int64_t j = 0; j < n; ++j) sum += static_cast<double>(x[j] - mean) * static_cast<double>(x[j] - mean);
  return static_cast<float>(std::sqrt(sum / static_cast<double>(n) + static_cast<double>(epsilon)));
}

void apply_row(const LayerNormArgs& args, int64_t r, float mean, float scale) {
  const float inverse = 1.0f / scale;
  const float* x = args.x.row(r);
  for (int64_t j = 0; j < args.x.cols; ++j) args.out.row(r)[j] = (x[j] - mean) * inverse * args.weight[j] + args.bias[j];
}

}  // namespace

void CpuBackend::layernorm(const LayerNormArgs& args) {
  for (int64_t r = 0; r < args.x.rows; ++r) {
    const float mean = mean_of(args.x.row(r), args.x.cols);
    const float scale = scale_of(args.x.row(r), args.x.cols, mean, args.epsilon);
    if (args.scale) *args.scale.row(r) = scale;
    apply_row(args, r, mean, scale);
  }
}

void CpuBackend::layernorm_scale(Mat x, float epsilon, Mat scale) {
  for (int64_t r = 0; r < x.rows; ++r) *scale.row(r) = scale_of(x.row(r), x.cols, mean_of(x.row(r), x.cols), epsilon);
}

void CpuBackend::layernorm_apply(const LayerNormArgs& args) {
  for (int64_t r = 0; r < args.x.rows; ++r) apply_row(args, r, mean_of(args.x.row(r), args.x.cols), *args.scale.row(r));
}

}  // namespace vitrine
