// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "hooks/plan.h"
#include "kernels/backend.h"
#include "kernels/buffer_pool.h"

namespace vitrine::internal {

/// Where the edits of a pass run. Everything referred to outlives the pass.
struct EditContext {
  Backend& backend;
  BufferPool& pool;       ///< of the backend's memory
  BufferPool& host_pool;  ///< of Backend::allocate_host()
  std::span<const SequenceSlice> slices;
};

/// Changes the selected part of a site, `x` being the site for all rows of the packed batch.
/// Throws Error (user) when another run's activations that the edit wants are not there.
void apply_edit(const PlannedEdit& edit, const EditContext& context, Mat x);

/// The same for a map; keys that a query cannot see are never changed.
void apply_map_edit(const PlannedEdit& edit, const EditContext& context, float* map);

}  // namespace vitrine::internal
