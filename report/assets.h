// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace vitrine::internal {

/// A file of report/assets by its name, as it was when this was compiled; empty if there is none.
std::string_view asset(std::string_view name);

}  // namespace vitrine::internal
