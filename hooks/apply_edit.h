// SPDX-License-Identifier: MIT
#pragma once

#include "hooks/edit_rows.h"

namespace vitrine::internal {

/// Changes the selected part of a site, `x` being the site for all rows of the packed batch.
/// Throws Error (user) when another run's activations that the edit wants are not there.
void apply_edit(const PlannedEdit& edit, const EditContext& context, Mat x);

/// The same for a map; keys that a query cannot see are never changed.
void apply_map_edit(const PlannedEdit& edit, const EditContext& context, float* map);

}  // namespace vitrine::internal
