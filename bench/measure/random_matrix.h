// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace vitrine::bench {
using namespace internal;

/// `count` numbers in [-1, 1), never zeros: arithmetic on zeros draws less power, and a GPU then
/// clocks higher.
std::vector<float> random_values(int64_t count, uint64_t seed);

/// A matrix of such numbers in a backend's memory.
struct RandomMatrix {
  RandomMatrix(Backend& backend, int64_t rows, int64_t cols, DType dtype, uint64_t seed);

  Buffer buffer;
  Mat mat;
};

/// A matrix in a backend's memory as float32 on the host.
std::vector<float> download(Backend& backend, const Mat& mat);

}  // namespace vitrine::bench
