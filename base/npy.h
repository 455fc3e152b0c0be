// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>

#include "vitrine/dtype.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

/// Writes NumPy's .npy, whole or not at all (see AtomicFile). The format has no bfloat16: such a
/// tensor is widened to float32, which loses nothing. Returns the dtype that the file holds, so
/// that a caller can say so.
DType write_npy(const std::filesystem::path& path, const TensorView& tensor);

/// What stands before the elements in a .npy file, for a file whose elements follow bit by bit.
/// Throws Error (internal) for bfloat16.
std::string npy_header(DType dtype, const Shape& shape);

/// Reads a .npy of little-endian float32, float64, int32 or int64 in C order, of at most four axes.
/// Throws Error (user) naming what was found and what is read.
Tensor read_npy(const std::filesystem::path& path);
/// The same from the bytes of a file; `name` is what errors call it.
Tensor parse_npy(std::span<const std::byte> file, const std::string& name);

}  // namespace vitrine::internal
