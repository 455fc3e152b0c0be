// SPDX-License-Identifier: MIT
#include "analysis/corpus/stored_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/float_bits.h"
#include "base/quote.h"

namespace vitrine::internal {

int64_t StoredRows::width() const { return Shape(values.shape().sizes().subspan(1)).elements(); }

void StoredRows::append(int64_t first, int64_t count, std::vector<float>& out) const {
  const int64_t width = this->width();
  const auto elements = static_cast<size_t>(count * width);
  const auto* data = static_cast<const std::byte*>(values.data()) +
                     static_cast<size_t>(first * width) * dtype_size(values.dtype());
  const size_t begin = out.size();
  out.resize(begin + elements);
  float* to = out.data() + begin;
  const auto* half = reinterpret_cast<const uint16_t*>(data);
  const auto* small = reinterpret_cast<const int8_t*>(data);
  switch (values.dtype()) {
    case DType::kF16:
      std::transform(half, half + elements, to, f16_to_f32);
      break;
    case DType::kBF16:
      std::transform(half, half + elements, to, bf16_to_f32);
      break;
    case DType::kI8:
      for (size_t i = 0; i < elements; ++i)
        to[i] = static_cast<float>(small[i]) *
                scales[static_cast<size_t>(first) + i / static_cast<size_t>(width)];
      break;
    default:
      if (elements > 0) std::memcpy(to, data, elements * sizeof(float));
  }
}

StoredRows stored_rows(const SafetensorsFile& file, const std::string& site) {
  StoredRows found{file.tensor(site)};
  const DType dtype = found.values.dtype();
  if ((!is_floating(dtype) && dtype != DType::kI8) || found.values.shape().rank() < 2)
    user_error("{}: damaged: {} is {} {}: expected rows of f32, f16, bf16 or i8",
               file.path().string(), quote(site), dtype_name(dtype),
               found.values.shape().to_string());
  (void)found.width();  // a file of no rows may promise rows of any size
  if (dtype != DType::kI8) return found;
  const TensorView scales = file.tensor(site + ".scales");
  if (scales.dtype() != DType::kF32 || scales.shape() != Shape{found.rows()})
    user_error("{}: damaged: {}.scales is {} {}: expected f32 [{}]", file.path().string(), site,
               dtype_name(scales.dtype()), scales.shape().to_string(), found.rows());
  found.scales = scales.f32();
  return found;
}

float quantize_row(std::span<const float> row, std::span<int8_t> to) {
  std::fill(to.begin(), to.end(), int8_t{0});
  float largest = 0;
  for (const float value : row) {
    if (!std::isfinite(value)) return std::numeric_limits<float>::quiet_NaN();
    largest = std::max(largest, std::abs(value));
  }
  const float scale = largest / 127;
  if (scale < std::numeric_limits<float>::min()) return 0;
  for (size_t i = 0; i < row.size(); ++i)
    to[i] = static_cast<int8_t>(std::clamp(std::nearbyint(row[i] / scale), -127.0F, 127.0F));
  return scale;
}

}  // namespace vitrine::internal
