// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "base/finite.h"
#include "engine/checkpoint/files.h"

namespace vitrine::fuzz {
using namespace internal;

/// Reads every byte that the parser says a tensor has, so that a wrong promise is seen by the
/// address sanitizer or here.
inline void read_tensors(const CheckpointFiles& files) {
  for (const auto& [name, make] : files.made) (void)make();
  for (const auto& [name, tensor] : files.tensors) {
    if (files.made.contains(name)) continue;
    if (tensor.offset > tensor.file->size() ||
        tensor.span_bytes > tensor.file->size() - tensor.offset)
      __builtin_trap();
    const size_t size = dtype_size(tensor.dtype);
    const std::byte* data = tensor.file->aligned(tensor.offset, tensor.span_bytes, size);
    if (is_floating(tensor.dtype))
      (void)first_non_finite(data, tensor.dtype, static_cast<int64_t>(tensor.span_bytes / size));
    tensor.file->release(tensor.offset, tensor.span_bytes);
  }
}

}  // namespace vitrine::fuzz
