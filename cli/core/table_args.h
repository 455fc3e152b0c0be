// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "base/number_table.h"
#include "cli/core/options.h"

namespace vitrine::cli {
using namespace internal;

/// The options that say whether a table's first line holds names; see add_table_options.
struct TableArgs {
  bool header = false, no_header = false;

  bool given() const { return header || no_header; }
  NumberTableOptions options() const {
    return {.header = given() ? std::optional(header) : std::nullopt};
  }
};

/// --header and --no-header, of the table that the option `of` names.
void add_table_options(Command& command, TableArgs& args, const std::string& of,
                       const std::string& group);

}  // namespace vitrine::cli
