// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/format.h>

#include <utility>

#include "vitrine/error.h"

namespace vitrine::internal {

/// Throws Error::Kind::kUser with a formatted line: the thing, its value, the fix.
template <typename... Args>
[[noreturn]] void user_error(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(Error::Kind::kUser, fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Error::Kind::kInternal: something that no input should have been able to cause, or the
/// machine failed us.
template <typename... Args>
[[noreturn]] void internal_error(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(Error::Kind::kInternal, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace vitrine::internal
