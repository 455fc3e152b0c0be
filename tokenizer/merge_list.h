// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include "base/json.h"

namespace vitrine::internal {

/// Which merge it is, for errors: they are rare, and text for each of them would take as long as
/// the merge.
struct MergePlace {
  const std::string& file;
  size_t number;         ///< from 1
  bool is_line = false;  ///< the number is that of a line of the file

  std::string text() const;
};

/// Reads "merges", whose entries are "a b" or ["a", "b"], and numbers them from 1. Throws Error
/// (user), which calls the model `file`.
void for_each_merge(
    const JsonFields& model, const std::string& file,
    const std::function<void(std::string_view left, std::string_view right, size_t number)>& take);

/// Reads the lines "a b" of a merges.txt, which begins with a line "#version: ..." or none.
void for_each_merge_line(std::string_view text, const std::string& file,
                         const std::function<void(std::string_view left, std::string_view right,
                                                  const MergePlace& place)>& take);

}  // namespace vitrine::internal
