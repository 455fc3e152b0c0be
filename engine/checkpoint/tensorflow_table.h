// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace vitrine::internal {

/// Whether a file ends as tables of keys and values do (LevelDB's format), of which the index of a
/// TensorFlow checkpoint is one.
bool is_table_file(std::string_view contents);

/// Calls `see` for each key and value in the file's order; the value is in the file's memory.
/// Throws Error (user) for a file that is damaged or compressed; `path` is what errors call it.
void for_each_table_entry(
    std::string_view contents, const std::string& path,
    const std::function<void(const std::string& key, std::string_view value)>& see);

}  // namespace vitrine::internal
