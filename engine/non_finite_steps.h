// SPDX-License-Identifier: MIT
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "vitrine/non_finite.h"

namespace vitrine::internal {

/// find_non_finite() over the passes of a generation, in which edits may count positions from the
/// end of each pass.
std::optional<NonFinite> find_non_finite(const Model& model, const std::vector<Batch>& passes,
                                         const Hooks& edits);

/// What refuse_non_finite() throws.
[[noreturn]] void refuse(const std::optional<NonFinite>& first, std::string_view what);

}  // namespace vitrine::internal
