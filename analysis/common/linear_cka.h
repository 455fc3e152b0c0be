// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

namespace vitrine::internal {

/// Linear centred kernel alignment of two sets of rows [rows, width], in double precision
/// (Kornblith 2019): |Y^T X|^2 / (|X^T X| |Y^T Y|) in Frobenius norms, columns centred. NaN for
/// fewer than two rows, or where one set's rows are all the same. For few rows: it makes the [rows,
/// rows] matrices of inner products.
double linear_cka(std::span<const float> x, std::span<const float> y, int64_t rows, int64_t width);

}  // namespace vitrine::internal
