// SPDX-License-Identifier: MIT
#include "base/dangling_link.h"

#include <system_error>

#include "base/check.h"

namespace vitrine::internal {

void refuse_dangling_link(const std::filesystem::path& path) {
  std::error_code ignored;
  if (!std::filesystem::is_symlink(path, ignored) || std::filesystem::exists(path, ignored)) return;
  user_error(
      "{}: is a link to {}, which does not exist: its download is unfinished or was deleted; "
      "download the model again",
      path.string(), std::filesystem::read_symlink(path, ignored).string());
}

}  // namespace vitrine::internal
