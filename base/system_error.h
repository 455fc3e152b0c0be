// SPDX-License-Identifier: MIT
#pragma once

#include <fmt/core.h>

#include <cerrno>
#include <cstring>

#include "base/check.h"

namespace vitrine::internal {

/// Whose fault a failed call to the system is: the user's where the path or its permissions are
/// wrong, the machine's where a disk is full, a device fails or a resource ran out.
inline Error::Kind kind_of_failure(int error) {
  const bool users = error == ENOENT || error == EACCES || error == EPERM || error == ENOTDIR ||
                     error == EISDIR || error == EEXIST || error == ENOTEMPTY || error == EROFS ||
                     error == ENAMETOOLONG || error == ELOOP || error == EINVAL || error == ENXIO;
  return users ? Error::Kind::kUser : Error::Kind::kInternal;
}

/// Throws Error of that kind: "PATH: cannot be read: REASON". `error`: errno, or the value of a
/// std::error_code.
[[noreturn]] inline void system_failure(int error, std::string_view path, std::string_view what) {
  throw Error(kind_of_failure(error), fmt::format("{}: {}: {}", path, what, std::strerror(error)));
}

}  // namespace vitrine::internal
