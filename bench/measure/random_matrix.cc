// SPDX-License-Identifier: MIT
#include "bench/measure/random_matrix.h"

#include <algorithm>

#include "base/float_bits.h"
#include "base/random.h"
#include "vitrine/tensor.h"

namespace vitrine::bench {
using namespace internal;
namespace {

// Large matrices repeat this many numbers; no power of two, so that rows differ.
constexpr int64_t kPeriod = (1 << 20) + 7;

std::vector<std::byte> encode(const std::vector<float>& values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
  if (dtype == DType::kF32) {
    std::copy_n(reinterpret_cast<const std::byte*>(values.data()), bytes.size(), bytes.data());
  } else {
    const auto convert = dtype == DType::kF16 ? f32_to_f16 : f32_to_bf16;
    std::transform(values.begin(), values.end(), reinterpret_cast<uint16_t*>(bytes.data()),
                   convert);
  }
  return bytes;
}

}  // namespace

std::vector<float> random_values(int64_t count, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  const int64_t drawn = std::min(count, kPeriod);
  for (int64_t i = 0; i < drawn; ++i) {
    values[static_cast<size_t>(i)] =
        static_cast<float>(2 * unit_interval(mix64(mix64(seed) + static_cast<uint64_t>(i))) - 1);
  }
  for (int64_t i = drawn; i < count; i += kPeriod)
    std::copy_n(values.begin(), std::min(kPeriod, count - i), values.begin() + i);
  return values;
}

RandomMatrix::RandomMatrix(Backend& backend, int64_t rows, int64_t cols, DType dtype, uint64_t seed)
    : buffer(backend.allocate(static_cast<size_t>(rows * cols) * dtype_size(dtype))),
      mat(buffer.data(), rows, cols, cols, dtype) {
  const std::vector<std::byte> bytes = encode(random_values(rows * cols, seed), dtype);
  backend.upload(buffer.data(), bytes.data(), bytes.size());
}

std::vector<float> download(Backend& backend, const Mat& mat) {
  std::vector<std::byte> bytes(static_cast<size_t>(mat.rows * mat.cols) * dtype_size(mat.dtype));
  backend.download(bytes.data(), mat.data, bytes.size());
  return TensorView(bytes.data(), mat.dtype, {mat.rows, mat.cols}).to_f32();
}

}  // namespace vitrine::bench
