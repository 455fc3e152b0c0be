// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <ostream>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tests/kernels/tolerance.h"
#include "tests/reference/ops.h"

// What the tests of the kernels share: the list of backends, matrices between guard zones,
// comparisons.

namespace vitrine::testing {
using namespace internal;

using reference::Vec;

/// A backend to test, made anew for each test. `threads` 0: the backend's own choice.
struct BackendCase {
  std::string name;
  std::unique_ptr<Backend> (*make)(int threads);
  bool on_device = false;  ///< a GPU, or an emulated one

  /// The types that the backend stores weights in.
  std::vector<DType> weight_types() const;
  /// The activations that the backend keeps for weights of each type, without repetition.
  std::vector<DType> activation_types() const;
};

/// The backends that can run here, from machine_backends.cc: the CPU's, once for every instruction
/// set that this processor has, and a GPU; in kernels_on_host_test the CUDA backend on the
/// processor, from tests/cuda_on_host.
const std::vector<BackendCase>& backends();
/// Undoes what making a backend has set for the whole process.
void forget_backend();

/// A GPU with Hopper's instructions, or one emulated by the CPU.
struct GemmCase {
  std::string name;
  std::unique_ptr<Backend> (*make)(Gemm gemm);
};
/// Those that are here, from the same file as backends().
const std::vector<GemmCase>& gemm_cases();

/// Every test body runs once for each backend.
class KernelTest : public ::testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override { backend = GetParam().make(0); }
  void TearDown() override { forget_backend(); }
  std::unique_ptr<Backend> with_threads(int threads) const { return GetParam().make(threads); }

  std::unique_ptr<Backend> backend;
  std::mt19937 random{20240229};
};

void PrintTo(const BackendCase& backend, std::ostream* out);
std::string backend_case_name(const ::testing::TestParamInfo<BackendCase>& info);

#define VITRINE_FOR_EACH_BACKEND(suite) \
  INSTANTIATE_TEST_SUITE_P(Backends, suite, ::testing::ValuesIn(backends()), backend_case_name)

/// A matrix in a backend's memory, its values rounded to its type, whose rows lie `stride` apart.
/// Elements without a value, the space between rows and a zone before and after hold NaNs of one
/// pattern: read, it spoils a result; written, the test sees it.
class Matrix {
 public:
  Matrix(Backend& backend, int64_t rows, int64_t cols, int64_t stride = 0,
         DType dtype = DType::kF32);
  Matrix(Backend& backend, std::span<const float> values, int64_t rows, int64_t cols,
         int64_t stride = 0, DType dtype = DType::kF32);

  Mat mat() const { return mat_; }
  float* data() const { return mat_.f32(); }
  // NOLINTNEXTLINE(google-explicit-constructor): the tests read better
  operator Mat() const { return mat_; }
  std::vector<float> values() const;
  /// False if anything but the elements themselves was written.
  bool untouched_outside() const;

 private:
  Backend* backend_;
  Buffer buffer_;
  Mat mat_;
};

/// A batch of these sequences in a backend's memory, with ids and positions that are not read
/// unless given.
class PlacedBatch {
 public:
  PlacedBatch() = default;
  PlacedBatch(Backend& backend, std::vector<SequenceSlice> slices, std::vector<int32_t> ids = {},
              std::vector<int32_t> positions = {});
  /// Valid as long as the object stays where it is.
  PassBatch batch() const { return {ids_, positions_, slices_, buffer_.data()}; }

 private:
  std::vector<SequenceSlice> slices_;
  std::vector<int32_t> ids_, positions_;
  Buffer buffer_;
};

/// A weight as the oracle and a backend see it: values as `dtype` holds them, [in, out] for the
/// oracle.
struct Weight {
  Vec values;
  Buffer buffer;
  PackedMatrix packed;
};

/// How a checkpoint may lay a weight out.
enum class Order { kInOut, kOutIn };

Weight make_weight(Backend& backend, std::mt19937& random, int64_t in, int64_t out, DType dtype,
                   Order order = Order::kInOut);
/// Of these values, in that order.
Weight pack_weight(Backend& backend, std::span<const float> values, int64_t in, int64_t out,
                   DType dtype, Order order);

/// One output's weights as i8 holds them, by the definition: whole numbers of -127 .. 127 times the
/// scale. The weights are finite.
struct Quantised {
  float scale = 0.0f;
  std::vector<int> numbers;
  Vec values() const;
};
Quantised quantised(std::span<const float> weights);

std::vector<float> normal(std::mt19937& random, int64_t count, float deviation = 1.0f);

/// The 16-bit (or 32-bit) elements of a float32 vector as a file holds them.
std::vector<std::byte> encode(std::span<const float> values, DType dtype);
std::vector<float> decode(std::span<const std::byte> bytes, DType dtype);

/// |got - want| <= tolerance[i] for every element; equal infinities pass. Names the first that
/// fails and the worst.
::testing::AssertionResult near(std::span<const float> got, const Vec& want, const Vec& tolerance);
::testing::AssertionResult same_bits(std::span<const float> got, std::span<const float> want);

/// `values` as `dtype` holds them.
std::vector<float> rounded(std::span<const float> values, DType dtype);
/// Half a unit in the last place of a `dtype` result, as a share of its size; 0 for float32, whose
/// rounding a tolerance counts.
double rounding(DType dtype);

/// Elementwise |x|, for magnitudes.
Vec magnitudes(Vec x);

inline constexpr DType kWeightTypes[] = {DType::kF32, DType::kF16, DType::kBF16};
inline constexpr Activation kActivations[] = {
    Activation::kNone, Activation::kGeluTanh, Activation::kGeluErf, Activation::kGeluQuick,
    Activation::kRelu, Activation::kSilu,     Activation::kTanh};

/// True under a sanitizer or without optimisation, where the big shapes would take minutes.
bool slow_build();

}  // namespace vitrine::testing
