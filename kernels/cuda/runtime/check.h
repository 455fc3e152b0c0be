// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace vitrine::internal::cuda {

/// Throws Error (internal): for the files that nvcc compiles, which does not take fmt's headers.
[[noreturn]] void fail(const std::string& what);

}  // namespace vitrine::internal::cuda
