// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "analysis/common/matrix.h"

namespace vitrine::internal {

// Linear centred kernel alignment of two sets of rows, in double precision (Kornblith 2019):
// |Y^T X|^2 / (|X^T X| |Y^T Y|) in Frobenius norms, columns centred. For few rows: it makes the
// [rows, rows] matrices of inner products.

/// Inner products of the centred rows, [rows, rows].
Matrix centred_kernel(Matrix rows);
/// The same, of Frobenius norm 1; NaN where all rows are the same.
Matrix cka_kernel(Matrix rows);
/// Of two sets of rows by those of norm 1: within 0..1, or NaN for fewer than two rows.
double linear_cka(const Matrix& kernel_x, const Matrix& kernel_y);
/// Of two sets of rows [rows, width].
double linear_cka(std::span<const float> x, std::span<const float> y, int64_t rows, int64_t width);

}  // namespace vitrine::internal
