// SPDX-License-Identifier: MIT
#include "base/check.h"

namespace vitrine::internal {

void throw_error(Error::Kind kind, fmt::string_view format, fmt::format_args args) {
  throw Error(kind, fmt::vformat(format, args));
}

}  // namespace vitrine::internal
