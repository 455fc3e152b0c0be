// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/cpu/attention_kernels.h"

// The steps of attention's gradient that the forward pass does not have. The others are its own, on
// other operands: dP = dz v^T are scores with values in the place of keys, dq = dS k a mix with
// keys in the place of values.

namespace vitrine::internal::cpu {

/// dscores[j] = pattern[j] (dpattern[j] - sum of pattern dpattern) for j < length; in place if
/// dscores is dpattern.
void softmax_backward_row(const float* pattern, const float* dpattern, int64_t length,
                          float* dscores);

/// Rows of a tile's queries in panels of 16 channels, [panel][kQueryTile][16], of one head of a
/// matrix.
void pack_query_rows(Mat x, const QueryTile& tile, int64_t column, float* packed);

/// sums[j] += sum over the tile's queries i that see key j of weights[i][j] x[i], x packed by
/// pack_query_rows. Rows of sums are value_panels() * 16 floats. Tiles of one sequence come in
/// ascending order, the first one with sums of zeros.
void add_to_keys(const QueryTile& tile, ScoreRows weights, const float* packed, float* sums);

/// out[j] = factor * x[j] for n elements; in place if out is x.
void scaled_row(const float* x, int64_t n, float factor, float* out);

}  // namespace vitrine::internal::cpu
