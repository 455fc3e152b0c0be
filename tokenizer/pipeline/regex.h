// SPDX-License-Identifier: MIT
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/pipeline/aligned_text.h"

namespace vitrine::internal {

/// A regular expression in the syntax of tokenizer files, which is Oniguruma's. Immutable and
/// thread-safe.
class Regex {
 public:
  /// Throws Error (user), which names `where`, for a pattern that is invalid or that means
  /// something else, or nothing, in the library that runs it.
  Regex(std::string_view pattern, const std::string& where);

  /// The matches in `text` (UTF-8), and what lies between them, in order. Throws Error (user) for a
  /// search that needs too many steps.
  std::vector<TextMatch> split(std::string_view text) const;

 private:
  std::shared_ptr<const void> code_;
  std::string where_;
};

/// A pattern that matches `text` itself.
std::string escaped_regex(std::string_view text);

/// Writes a pattern in Oniguruma's syntax in that of PCRE2. Throws Error (user), which names
/// `where`, for what has no equal there.
std::string translated_regex(std::string_view pattern, const std::string& where);

}  // namespace vitrine::internal
