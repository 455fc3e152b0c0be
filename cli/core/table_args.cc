// SPDX-License-Identifier: MIT
#include "cli/core/table_args.h"

namespace vitrine::cli {

void add_table_options(Command& command, TableArgs& args, const std::string& of,
                       const std::string& group) {
  command
      .add_flag("--header", args.header,
                "The first line of " + of + " holds names, even if they are numbers")
      ->group(group)
      ->only_with(of);
  command
      .add_flag("--no-header", args.no_header,
                "The first line of " + of + " is data; the columns are called 0, 1, ...")
      ->group(group)
      ->only_with(of)
      ->not_with("--header");
}

}  // namespace vitrine::cli
