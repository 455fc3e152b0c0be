// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/core.h>

#include "vitrine/error.h"

namespace vitrine::internal {

[[noreturn]] void throw_error(Error::Kind kind, fmt::string_view format, fmt::format_args args);

/// Throws Error::Kind::kUser with a formatted line: the thing, its value, the fix.
template <typename... Args>
[[noreturn]] void user_error(fmt::format_string<Args...> format, Args&&... args) {
  throw_error(Error::Kind::kUser, format, fmt::make_format_args(args...));
}

/// Throws Error::Kind::kInternal: something that no input should have been able to cause, or the
/// machine failed us.
template <typename... Args>
[[noreturn]] void internal_error(fmt::format_string<Args...> format, Args&&... args) {
  throw_error(Error::Kind::kInternal, format, fmt::make_format_args(args...));
}

}  // namespace vitrine::internal
