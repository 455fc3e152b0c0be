// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include "tests/kernels/harness.h"

// What the tests of the matrix product and of its gradient share.

namespace vitrine::testing {
using namespace internal;

/// Of the forward operation.
struct Size {
  int64_t rows, in, out;
};

/// An emulated GPU is slow.
inline bool slow_backend(const BackendCase& backend) {
  return backend.name == "cpu_SCALAR" || backend.name.starts_with("cuda_on_host");
}

/// How the rows of a problem's matrices lie: at multiples of 64 bytes, as the engine has them, or
/// anywhere.
enum class Rows { kAligned, kAnywhere };

inline int64_t stride_of(int64_t cols, Rows rows, int64_t more) {
  return rows == Rows::kAligned ? (cols + 31) / 32 * 32 : cols + more;
}

/// Some of a matrix's inputs, as one head's projection has them. What lies beside them must not be
/// touched: it is NaN here, or, as whole numbers, the output's first weight, which leaves its scale
/// as it is.
class PartOfInputs {
 public:
  static constexpr int64_t kIn = 300;
  /// First input and how many.
  static constexpr std::pair<int64_t, int64_t> kParts[] = {{32, 48}, {0, 260}, {64, 64}, {40, 5},
                                                           {5, 48},  {3, 1},   {17, 280}};

  PartOfInputs(Backend& backend, std::mt19937& random, int64_t begin, int64_t count, int64_t out,
               DType dtype) {
    const std::vector<float> values = normal(random, count * out, 0.5f);
    std::vector<float> wide(static_cast<size_t>(kIn * out),
                            std::numeric_limits<float>::quiet_NaN());
    for (size_t i = 0; i < wide.size() && dtype == DType::kI8; ++i)
      wide[i] = values[i % static_cast<size_t>(out)];
    std::copy(values.begin(), values.end(), wide.begin() + begin * out);
    alone_ = pack_weight(backend, values, count, out, dtype, Order::kInOut);
    whole_ = pack_weight(backend, wide, kIn, out, dtype, Order::kInOut);
    part_ = whole_.packed.inputs(begin, count);
  }

  /// The same inputs as a matrix of their own.
  const PackedMatrix& alone() const { return alone_.packed; }
  const PackedMatrix& part() const { return part_; }

 private:
  Weight alone_, whole_;
  PackedMatrix part_;
};

}  // namespace vitrine::testing
