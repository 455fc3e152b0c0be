// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>
#include <vector>

#include "hooks/plan.h"
#include "kernels/backend/batch.h"
#include "kernels/backend/selection.h"

namespace vitrine::internal {

/// A row of a sequence's new tokens that a selection picks.
struct SelectedRow {
  int64_t index = 0;  ///< among the sequence's rows of this pass
  /// Which of PlannedSelection::positions picked it (the first, if several did), if their number
  /// does not depend on the sequence.
  int64_t position = 0;
};

/// The rows of sequence `s` that are computed in this pass and picked by the selection, ascending.
/// Throws Error (user), naming `site`, for a sequence that is not in the batch or a position that
/// the sequence cannot have.
std::vector<SelectedRow> select_rows(const PlannedSelection& where, int s,
                                     std::span<const SequenceSlice> slices, std::string_view site);

}  // namespace vitrine::internal
