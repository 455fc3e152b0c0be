// SPDX-License-Identifier: MIT
#include "option_table.h"

#include <gtest/gtest.h>

namespace vitrine::testing {

const OptionTable& option_table() {
  static const OptionTable table = [] {
    OptionTable found;
    const CliResult result = run_cli({"man", "--json"});
    EXPECT_EQ(result.status, 0) << result.err;
    const Json all = Json::parse(result.out);
    for (const Json& command : all["commands"]) {
      std::vector<TableOption>& options = found[command["name"]];
      for (const Json& option : command["options"]) {
        options.push_back({.name = option["names"].back(),
                           .value = option["value"],
                           .fallback = option["default"],
                           .choices = option["choices"],
                           .positional = option["positional"],
                           .required = option["required"],
                           .rules = option["rules"]});
      }
    }
    return found;
  }();
  return table;
}

const TableOption* find_option(const std::string& command, const std::string& name) {
  for (const TableOption& option : option_table().at(command)) {
    if (option.name == name) return &option;
  }
  return nullptr;
}

}  // namespace vitrine::testing
