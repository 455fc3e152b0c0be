// SPDX-License-Identifier: MIT
#pragma once

#include "hooks/edit_rows.h"

namespace vitrine::internal {

/// Replaces the selected part of rows of `x`, the site for all rows of the packed batch, by the
/// rows that the edit's source has at the same positions of `sequence`. Rows in the backend's
/// memory are read where they lie; if one is not, all of them pass through the host. Throws Error
/// (user) for rows that the source does not have, or has of another width.
void replace_from_source(const PlannedEdit& edit, const EditContext& context,
                         const EditedRows& edited, int sequence, Mat x);

/// The same for one sequence's block [H x rows, keys] of a map; keys that a query cannot see are
/// left as they are. The source must have the edit's heads, and as many keys as each query sees.
void replace_map_from_source(const PlannedEdit& edit, const EditContext& context,
                             const EditedRows& edited, const EditedMapRows& map_rows, int sequence,
                             Mat block);

}  // namespace vitrine::internal
