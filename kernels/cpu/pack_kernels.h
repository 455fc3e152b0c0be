// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "kernels/backend/weights.h"

// Copies between a checkpoint's layout and panels, with conversion between the stored types.

namespace vitrine::internal::cpu {

/// The inputs [in_begin, in_end) of one panel, from any layout.
void pack_panel(const HostWeight& source, const PackedMatrix& packed, std::byte* destination,
                int64_t panel, int64_t in_begin, int64_t in_end);

/// The inputs of one panel as whole numbers, [in][kPanel] to `destination`, and their outputs'
/// scales to [kPanel]: see PackedMatrix. `wide` is room for in * kPanel floats.
void quantise_panel(const HostWeight& source, int64_t panel, std::byte* destination, float* scales,
                    float* wide);

/// to[i] = the weight from input i to output `column`, for all inputs.
void unpack_column(const PackedMatrix& packed, int64_t column, float* to);

}  // namespace vitrine::internal::cpu
