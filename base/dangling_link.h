// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

namespace vitrine::internal {

/// Throws Error (user) if `path` is a symbolic link to something that does not exist, as an
/// unfinished download of Hugging Face's cache leaves it.
void refuse_dangling_link(const std::filesystem::path& path);

}  // namespace vitrine::internal
