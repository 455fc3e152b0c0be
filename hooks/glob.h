// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace vitrine::internal {

/// A compiled site pattern: `*` any run of characters, `?` one character, `{a,b}` alternatives,
/// `{3..5}` a range of whole numbers, `{3..}` and `{..5}` open ones (alternatives and ranges mix:
/// `{0,4..6}`; they do not nest).
class Glob {
 public:
  /// `layers`: an open range ends before this number. Throws Error (user) for an empty pattern, an
  /// unclosed or nested brace, a descending or huge range.
  Glob(std::string_view pattern, int layers);

  bool matches(std::string_view name) const;

 private:
  std::vector<std::string> alternatives_;  ///< the pattern with its braces written out
};

}  // namespace vitrine::internal
