// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/json.h"
#include "runner.h"

namespace vitrine::testing {
using namespace internal;

/// One option of `man --json`, the table that the parser works from.
struct TableOption {
  std::string name;  ///< the long one; of a positional one its word
  std::string value, fallback;
  std::vector<std::string> choices;
  bool positional = false, required = false;
  Json rules;
};
/// Of each command, by its name.
using OptionTable = std::map<std::string, std::vector<TableOption>>;

/// Read once from the built command.
const OptionTable& option_table();
const TableOption* find_option(const std::string& command, const std::string& name);

/// Commands that run in milliseconds, mode by mode.
inline constexpr const char* kCommands[] = {
    "lens",       "saliency",  "attribute",  "patch",   "noise",   "predictivity", "generate",
    "score",      "attention", "similarity", "factors", "concept", "capture",      "corpus",
    "covariance", "tokenize",  "windows",    "sites",   "info"};

/// The name of a test of one command.
template <typename Info>
std::string command_name(const Info& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace vitrine::testing
