// SPDX-License-Identifier: MIT
#include "cli/patching/pairs_file.h"

namespace vitrine::cli {

void add_pairs_option(Command& command, std::string& path) {
  command
      .add_option("--pairs", path,
                  "File of pairs of prompts, for means and standard errors over them; a line each: "
                  "{\"clean\": TEXT, \"corrupt\": TEXT, \"answer\": TOKEN, \"wrong\": TOKEN}, "
                  "tokens also as lists; - is standard input")
      ->type_name("FILE")
      ->group("Pairs");
}

}  // namespace vitrine::cli
