// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/json.h"

namespace vitrine::internal {

/// The two halves of "a b". Errors call it merge `number` of `file`.
std::pair<std::string_view, std::string_view> merge_halves(std::string_view line,
                                                           const std::string& file, size_t number);

/// Reads "merges", whose entries are "a b" or ["a", "b"], and numbers them from 1. Throws Error
/// (user), which calls the model `file`.
void for_each_merge(
    const JsonFields& model, const std::string& file,
    const std::function<void(std::string_view left, std::string_view right, size_t number)>& take);

/// Reads the lines "a b" of a merges.txt, which begins with a line "#version: ..." or none. `where`
/// is the file with the line's number.
void for_each_merge_line(std::string_view text, const std::string& file,
                         const std::function<void(std::string_view left, std::string_view right,
                                                  const std::string& where, size_t line)>& take);

}  // namespace vitrine::internal
