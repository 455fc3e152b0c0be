// SPDX-License-Identifier: MIT
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace vitrine::cli {

// With which other options an option has an effect. The table that the rules of all options make is
// what the parser checks, --help and the manual page say, and `man --json` prints.

/// A state of another option.
struct With {
  std::string option;  ///< "--mode"
  /// Any of these values, given or by default; kAboveZero is a number, a * at the end any ending.
  /// Empty: the option is given, whatever its value.
  std::vector<std::string> values = {};
  bool absent = false;  ///< The opposite: the option is not given.
};
inline constexpr const char* kAboveZero = "above 0";

/// One of an option's conditions; all must hold.
struct OptionRule {
  enum class Kind { kOnly, kNot };
  Kind kind = Kind::kOnly;
  std::vector<With> with = {};  ///< kOnly: one of these is so; kNot: none is
  /// kOnly without `with`: what decides instead, and its words. For what options do not say, such
  /// as the kind of a file.
  std::function<bool()> holds = {};
  std::string words = {};
  bool said_there = false;  ///< The description of the other option says it, not of this one.
};

/// "--mode maps or heads, or --out"
std::string words_of(const OptionRule& rule);
/// For the end of an option's description: " (only with --mode heads; not with --json)"; empty
/// without rules.
std::string rules_text(const std::vector<OptionRule>& rules);

}  // namespace vitrine::cli
