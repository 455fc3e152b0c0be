// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

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

/// Reads a .npy of floats (16, 32, 64 bits), integers (8 to 64 bits, with and without sign) or
/// booleans, in either byte order and in C or Fortran order, of at most four axes; the result is in
/// C order. Types that Tensor lacks are widened: uint16 to i32, uint32 and uint64 to i64. Throws
/// Error (user) naming what was found and what is read, also for an uint64 above the range of i64.
Tensor read_npy(const std::filesystem::path& path);
/// The same from the bytes of a file; `name` is what errors call it.
Tensor parse_npy(std::span<const std::byte> file, const std::string& name);

/// The elements of a tensor of any dtype, in host memory, as float64; 64-bit integers are rounded.
std::vector<double> to_f64(const TensorView& tensor);

}  // namespace vitrine::internal
