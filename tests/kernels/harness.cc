#include "tests/kernels/harness.h"

#include <hwy/highway.h>
#include <hwy/targets.h>

#include <bit>
#include <cstring>

#include "base/float_bits.h"
#include "vitrine/tensor.h"

namespace vitrine::testing {
namespace {

constexpr uint32_t kPoison = 0x7fc0beefu;
constexpr int64_t kGuard = 64;  // floats before and behind

template <int64_t kTarget>
std::unique_ptr<Backend> make_cpu_for_target(int threads) {
  hwy::SetSupportedTargetsForTest(kTarget);
  hwy::GetChosenTarget().DeInit();
  return make_cpu_backend({.threads = threads});
}

template <int64_t kTarget>
void add_cpu(std::vector<BackendCase>& list) {
  if constexpr ((HWY_TARGETS & kTarget) != 0) {
    if (hwy::SupportedTargets() & kTarget)
      list.push_back({std::string("cpu_") + hwy::TargetName(kTarget), make_cpu_for_target<kTarget>});
  }
}

std::vector<BackendCase> find_backends() {
  std::vector<BackendCase> list;
  add_cpu<HWY_AVX3>(list);
  add_cpu<HWY_AVX2>(list);
  add_cpu<HWY_SSE4>(list);
  add_cpu<HWY_NEON>(list);
  add_cpu<HWY_EMU128>(list);
  add_cpu<HWY_SCALAR>(list);
  return list;
}

uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }

}  // namespace

const std::vector<BackendCase>& backends() {
  static const std::vector<BackendCase> list = find_backends();
  return list;
}

void KernelTest::TearDown() {
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

void PrintTo(const BackendCase& backend, std::ostream* out) { *out << backend.name; }

std::string backend_case_name(const ::testing::TestParamInfo<BackendCase>& info) { return info.param.name; }

Matrix::Matrix(Backend& backend, int64_t rows, int64_t cols, int64_t stride) : Matrix(backend, {}, rows, cols, stride) {}

Matrix::Matrix(Backend& backend, std::span<const float> values, int64_t rows, int64_t cols, int64_t stride)
    : backend_(&backend) {
  stride = stride == 0 ? cols : stride;
  std::vector<float> host(static_cast<size_t>(rows * stride + 2 * kGuard), std::bit_cast<float>(kPoison));
  for (int64_t r = 0; r < rows && !values.empty(); ++r) {
    std::memcpy(host.data() + kGuard + r * stride, values.data() + r * cols, static_cast<size_t>(cols) * sizeof(float));
  }
  buffer_ = backend.allocate(host.size() * sizeof(float));
  backend.upload(buffer_.data(), host.data(), host.size() * sizeof(float));
  mat_ = Mat(buffer_.f32() + kGuard, rows, cols, stride);
}

std::vector<float> Matrix::values() const {
  std::vector<float> host(static_cast<size_t>(mat_.rows * mat_.cols));
  for (int64_t r = 0; r < mat_.rows; ++r) {
    backend_->download(host.data() + r * mat_.cols, mat_.row(r), static_cast<size_t>(mat_.cols) * sizeof(float));
  }
  return host;
}

bool Matrix::untouched_outside() const {
  std::vector<float> host(buffer_.bytes() / sizeof(float));
  backend_->download(host.data(), buffer_.data(), buffer_.bytes());
  for (int64_t i = 0; i < static_cast<int64_t>(host.size()); ++i) {
    const int64_t at = i - kGuard;
    const bool inside = at >= 0 && at < mat_.rows * mat_.stride && at % mat_.stride < mat_.cols;
    if (!inside && bits_of(host[static_cast<size_t>(i)]) != kPoison) return false;
  }
  return true;
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
  return TensorView(bytes.data(), dtype, Shape{static_cast<int64_t>(bytes.size() / dtype_size(dtype))}).to_f32();
}

Weight make_weight(Backend& backend, std::mt19937& random, int64_t in, int64_t out, DType dtype, Order order) {
  const std::vector<std::byte> host = encode(normal(random, in * out, 0.5f), dtype);
  const std::vector<float> rounded = decode(host, dtype);
  const int64_t in_stride = order == Order::kInOut ? out : 1, out_stride = order == Order::kInOut ? 1 : in;
  Weight weight;
  for (int64_t i = 0; i < in; ++i) {
    for (int64_t o = 0; o < out; ++o) weight.values.push_back(rounded[static_cast<size_t>(i * in_stride + o * out_stride)]);
  }
  weight.buffer = backend.allocate(backend.packed_bytes(in, out, dtype));
  weight.packed = backend.pack({host.data(), dtype, in, out, in_stride, out_stride}, dtype, weight.buffer.data());
  return weight;
}

::testing::AssertionResult near(std::span<const float> got, const Vec& want, const Vec& tolerance) {
  if (got.size() != want.size() || want.size() != tolerance.size()) {
    return ::testing::AssertionFailure() << got.size() << " values for " << want.size() << ", tolerances " << tolerance.size();
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
  return ::testing::AssertionFailure() << failures << " of " << got.size() << " too far off; first at " << first << ": "
                                       << got[first] << " for " << want[first] << " +- " << tolerance[first] << "; worst at "
                                       << worst_at << ", " << worst << " tolerances";
}

::testing::AssertionResult same_bits(std::span<const float> got, std::span<const float> want) {
  if (got.size() != want.size()) return ::testing::AssertionFailure() << got.size() << " values for " << want.size();
  for (size_t i = 0; i < got.size(); ++i) {
    if (bits_of(got[i]) == bits_of(want[i])) continue;
    return ::testing::AssertionFailure() << "value " << i << " of " << got.size() << " is " << ::testing::PrintToString(got[i])
                                         << ", not " << ::testing::PrintToString(want[i]);
  }
  return ::testing::AssertionSuccess();
}

Vec magnitudes(Vec x) {
  for (double& value : x) value = std::abs(value);
  return x;
}

bool slow_build() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(NDEBUG)
  return true;
#else
  return false;
#endif
}

}  // namespace vitrine::testing
