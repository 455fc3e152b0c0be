// SPDX-License-Identifier: MIT
#include "vitrine/dtype.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "base/check.h"

namespace vitrine {
using namespace internal;
namespace {

struct Entry {
  std::string_view name;
  size_t size;
};

constexpr std::array<Entry, 10> kTypes = {{{"f32", 4},
                                           {"f16", 2},
                                           {"bf16", 2},
                                           {"f64", 8},
                                           {"i64", 8},
                                           {"i32", 4},
                                           {"i16", 2},
                                           {"i8", 1},
                                           {"u8", 1},
                                           {"bool", 1}}};

}  // namespace

size_t dtype_size(DType dtype) noexcept { return kTypes[static_cast<size_t>(dtype)].size; }

std::string_view dtype_name(DType dtype) noexcept {
  return kTypes[static_cast<size_t>(dtype)].name;
}

DType dtype_from_name(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (lower == "float32") lower = "f32";
  if (lower == "float16") lower = "f16";
  if (lower == "bfloat16") lower = "bf16";
  if (lower == "int8") lower = "i8";
  for (size_t i = 0; i < kTypes.size(); ++i) {
    if (kTypes[i].name == lower) return static_cast<DType>(i);
  }
  user_error("unknown dtype '{}': expected one of f32, f16, bf16, f64, i64, i32, i16, i8, u8, bool",
             name);
}

bool is_floating(DType dtype) noexcept {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16;
}

}  // namespace vitrine
