// SPDX-License-Identifier: MIT
#include "tests/kernels/harness.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "base/float_bits.h"
#include "tests/sanitized.h"
#include "vitrine/tensor.h"

namespace vitrine::testing {
using namespace internal;
namespace {

constexpr uint32_t kPoison = 0x7fc0beefu,
                   kPoisonHalf = 0x7fefu;  // NaNs, the second in f16 and in bf16
constexpr int64_t kGuard = 64;             // elements before and after

/// Byte `i` of a buffer full of poison: the same NaN in each element of 4 bytes, another in each
/// of 2.
std::byte poison_byte(size_t i, size_t element) {
  const uint32_t pattern = element == 4 ? kPoison : kPoisonHalf;
  return static_cast<std::byte>(pattern >> (8 * (i % element)));
}

uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }

}  // namespace

std::vector<DType> BackendCase::weight_types() const {
  std::vector<DType> types(std::begin(kWeightTypes), std::end(kWeightTypes));
  if (!on_device) types.push_back(DType::kI8);
  return types;
}

std::vector<DType> BackendCase::activation_types() const {
  if (name == "cpu_bf16") return {DType::kF32, DType::kBF16};
  if (!on_device) return {DType::kF32};
  return {DType::kF32, DType::kF16, DType::kBF16};
}

void PrintTo(const BackendCase& backend, std::ostream* out) { *out << backend.name; }

std::string backend_case_name(const ::testing::TestParamInfo<BackendCase>& info) {
  return info.param.name;
}

Matrix::Matrix(Backend& backend, int64_t rows, int64_t cols, int64_t stride, DType dtype)
    : Matrix(backend, {}, rows, cols, stride, dtype) {}

Matrix::Matrix(Backend& backend, std::span<const float> values, int64_t rows, int64_t cols,
               int64_t stride, DType dtype)
    : backend_(&backend) {
  stride = stride == 0 ? cols : stride;
  const size_t size = dtype_size(dtype);
  std::vector<std::byte> host(static_cast<size_t>(rows * stride + 2 * kGuard) * size);
  for (size_t i = 0; i < host.size(); ++i) host[i] = poison_byte(i, size);
  const std::vector<std::byte> elements = encode(values, dtype);
  for (int64_t r = 0; r < rows && !values.empty(); ++r) {
    std::memcpy(host.data() + static_cast<size_t>(kGuard + r * stride) * size,
                elements.data() + static_cast<size_t>(r * cols) * size,
                static_cast<size_t>(cols) * size);
  }
  buffer_ = backend.allocate(host.size());
  backend.upload(buffer_.data(), host.data(), host.size());
  mat_ = Mat(buffer_.data() + kGuard * size, rows, cols, stride, dtype);
}

std::vector<float> Matrix::values() const {
  const size_t row_bytes = static_cast<size_t>(mat_.cols) * dtype_size(mat_.dtype);
  std::vector<std::byte> host(static_cast<size_t>(mat_.rows) * row_bytes);
  for (int64_t r = 0; r < mat_.rows; ++r)
    backend_->download(host.data() + static_cast<size_t>(r) * row_bytes, mat_.at(r, 0), row_bytes);
  return decode(host, mat_.dtype);
}

bool Matrix::untouched_outside() const {
  std::vector<std::byte> host(buffer_.bytes());
  backend_->download(host.data(), buffer_.data(), buffer_.bytes());
  const size_t size = dtype_size(mat_.dtype);
  for (size_t i = 0; i < host.size(); ++i) {
    const int64_t at = static_cast<int64_t>(i / size) - kGuard;
    const bool inside = at >= 0 && at < mat_.rows * mat_.stride && at % mat_.stride < mat_.cols;
    if (!inside && host[i] != poison_byte(i, size)) return false;
  }
  return true;
}

PlacedBatch::PlacedBatch(Backend& backend, std::vector<SequenceSlice> slices,
                         std::vector<int32_t> ids, std::vector<int32_t> positions)
    : slices_(std::move(slices)), ids_(std::move(ids)), positions_(std::move(positions)) {
  int64_t rows = 0;
  for (const SequenceSlice& slice : slices_) rows = std::max(rows, slice.row + slice.rows);
  ids_.resize(static_cast<size_t>(rows));
  positions_.resize(static_cast<size_t>(rows));
  buffer_ = backend.allocate(
      std::max<size_t>(1, backend.batch_bytes(rows, static_cast<int64_t>(slices_.size()))));
  backend.place(batch());
}

std::vector<float> normal(std::mt19937& random, int64_t count, float deviation) {
  std::normal_distribution<float> distribution(0.0f, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = distribution(random);
  return values;
}

std::vector<std::byte> encode(std::span<const float> values, DType dtype) {
  std::vector<std::byte> bytes(values.size() * dtype_size(dtype));
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t half = dtype == DType::kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
    if (dtype == DType::kF32) {
      std::memcpy(bytes.data() + i * 4, &values[i], 4);
    } else {
      std::memcpy(bytes.data() + i * 2, &half, 2);
    }
  }
  return bytes;
}

std::vector<float> decode(std::span<const std::byte> bytes, DType dtype) {
  return TensorView(bytes.data(), dtype,
                    Shape{static_cast<int64_t>(bytes.size() / dtype_size(dtype))})
      .to_f32();
}

Vec Quantised::values() const {
  Vec result;
  for (int number : numbers) result.push_back(static_cast<double>(scale) * number);
  return result;
}

Quantised quantised(std::span<const float> weights) {
  float largest = 0.0f;
  for (float w : weights) largest = std::max(largest, std::abs(w));
  Quantised result{largest / 127.0f, std::vector<int>(weights.size(), 0)};
  if (!std::isnormal(result.scale)) result.scale = 0.0f;
  for (size_t i = 0; i < weights.size() && result.scale != 0.0f; ++i) {
    result.numbers[i] = static_cast<int>(
        std::nearbyint(weights[i] / result.scale));  // to even at ties: the default rounding mode
  }
  return result;
}

Weight pack_weight(Backend& backend, std::span<const float> values, int64_t in, int64_t out,
                   DType dtype, Order order) {
  const DType source = dtype == DType::kI8 ? DType::kF32 : dtype;
  const std::vector<std::byte> host = encode(values, source);
  const std::vector<float> held = decode(host, source);
  const int64_t in_stride = order == Order::kInOut ? out : 1,
                out_stride = order == Order::kInOut ? 1 : in;
  Weight weight;
  weight.values.resize(static_cast<size_t>(in * out));
  for (int64_t o = 0; o < out; ++o) {
    std::vector<float> column;
    for (int64_t i = 0; i < in; ++i)
      column.push_back(held[static_cast<size_t>(i * in_stride + o * out_stride)]);
    const Vec exact = dtype == DType::kI8 ? quantised(column).values() : reference::widen(column);
    for (int64_t i = 0; i < in; ++i)
      weight.values[static_cast<size_t>(i * out + o)] = exact[static_cast<size_t>(i)];
  }
  weight.buffer = backend.allocate(backend.packed_bytes(in, out, dtype));
  weight.packed = backend.pack({host.data(), source, in, out, in_stride, out_stride}, dtype,
                               weight.buffer.data());
  return weight;
}

Weight make_weight(Backend& backend, std::mt19937& random, int64_t in, int64_t out, DType dtype,
                   Order order) {
  return pack_weight(backend, normal(random, in * out, 0.5f), in, out, dtype, order);
}

::testing::AssertionResult near(std::span<const float> got, const Vec& want, const Vec& tolerance) {
  if (got.size() != want.size() || want.size() != tolerance.size()) {
    return ::testing::AssertionFailure()
           << got.size() << " values for " << want.size() << ", tolerances " << tolerance.size();
  }
  double worst = 0.0;
  size_t first = got.size(), failures = 0, worst_at = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double value = got[i];
    if (value == want[i]) continue;
    const double share = std::abs(value - want[i]) / tolerance[i];
    if (share <= 1.0) continue;  // a NaN is not
    if (failures++ == 0) first = i;
    if (share > worst) worst = share, worst_at = i;
  }
  if (failures == 0) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure()
         << failures << " of " << got.size() << " too far off; first at " << first << ": "
         << got[first] << " for " << want[first] << " +- " << tolerance[first] << "; worst at "
         << worst_at << ", " << worst << " tolerances";
}

::testing::AssertionResult same_bits(std::span<const float> got, std::span<const float> want) {
  if (got.size() != want.size())
    return ::testing::AssertionFailure() << got.size() << " values for " << want.size();
  for (size_t i = 0; i < got.size(); ++i) {
    if (bits_of(got[i]) == bits_of(want[i])) continue;
    return ::testing::AssertionFailure()
           << "value " << i << " of " << got.size() << " is " << ::testing::PrintToString(got[i])
           << ", not " << ::testing::PrintToString(want[i]);
  }
  return ::testing::AssertionSuccess();
}

std::vector<float> rounded(std::span<const float> values, DType dtype) {
  return decode(encode(values, dtype), dtype);
}

double rounding(DType dtype) {
  switch (dtype) {
    case DType::kF16:
      return 0x1p-11;
    case DType::kBF16:
      return 0x1p-8;
    default:
      return 0.0;
  }
}

Vec magnitudes(Vec x) {
  for (double& value : x) value = std::abs(value);
  return x;
}

bool slow_build() {
#if defined(NDEBUG)
  return kSanitized;
#else
  return true;
#endif
}

}  // namespace vitrine::testing
