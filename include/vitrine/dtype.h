// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vitrine {

/// Element types of tensors, named as safetensors names them.
enum class DType : uint8_t { kF32, kF16, kBF16, kF64, kI64, kI32, kI16, kI8, kU8, kBool };

/// Size of one element in bytes.
size_t dtype_size(DType dtype) noexcept;

/// "f32", "f16", "bf16", "f64", "i64", "i32", "i16", "i8", "u8", "bool".
std::string_view dtype_name(DType dtype) noexcept;

/// Inverse of dtype_name(), case-insensitive. Also accepts "float32", "float16", "bfloat16" and
/// "int8". Throws Error (user) that lists the accepted names.
DType dtype_from_name(std::string_view name);

/// True for f32, f16 and bf16, the types of weights and activations.
bool is_floating(DType dtype) noexcept;

}  // namespace vitrine
