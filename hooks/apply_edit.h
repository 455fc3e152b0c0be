// SPDX-License-Identifier: MIT
#pragma once

#include "hooks/plan.h"
#include "kernels/backend.h"
#include "kernels/buffer_pool.h"

namespace vitrine::internal {

/// Changes the selected part of a site, `x` being the site for all rows of the packed batch.
/// Throws Error (user) when another run's activations that the edit wants are not there.
void apply_edit(const PlannedEdit& edit, Backend& backend, BufferPool& pool,
                std::span<const SequenceSlice> slices, Mat x);

/// The same for a map; keys that a query cannot see are never changed.
void apply_map_edit(const PlannedEdit& edit, Backend& backend, BufferPool& pool,
                    std::span<const SequenceSlice> slices, float* map);

}  // namespace vitrine::internal
