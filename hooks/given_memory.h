// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <vector>

#include "hooks/plan.h"
#include "vitrine/hooks.h"
#include "vitrine/tensor.h"

// Memory of the caller that captures go to (Hooks::capture_into). Its shape depends on the batch:
// CaptureLayout checks it.

namespace vitrine::internal {

/// The part of a request's memory for the site `place` of the `places` that it matched.
/// `host_memory`: whether the model runs there. Throws Error (user) for memory that kernels and
/// copies cannot reach, and for memory that cannot be divided by sites.
TensorMemory given_memory(const Hooks::Capture& request, size_t place, size_t places,
                          bool host_memory);

/// Whether kernels may write to it, instead of a copy after the pass.
bool kernels_may_write(const TensorMemory& memory, bool host_memory);

/// Throws Error (user) if captures share memory of the caller.
void check_overlap(const std::vector<PlannedCapture>& captures);

}  // namespace vitrine::internal
