// SPDX-License-Identifier: MIT
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"

namespace vitrine::testing {
using namespace internal;

/// What a run of the built command gave.
struct CliResult {
  int status = -1;  ///< exit status, or minus the signal that ended it
  std::string out, err;
};

struct CliOptions {
  std::vector<std::pair<std::string, std::string>> environment =
      {};  ///< to set; an empty value unsets
  std::string input = {};
  bool terminal = false;         ///< stdout and stderr are a pseudo-terminal; both arrive in `out`
  unsigned short columns = 100;  ///< of that terminal
  long file_size_limit = 0;      ///< bytes; 0: none. Simulates a full disk
  bool keep_input_open = false;  ///< until the process has ended
  bool ignores_interrupt = false;  ///< SIGINT is ignored from the start, as nohup and & do
  long memory_limit = 0;           ///< bytes of addresses; 0: none
  std::function<void(pid_t)> meanwhile = {};  ///< called once the process runs
};

CliResult run_cli(const std::vector<std::string>& arguments, const CliOptions& options = {});
/// The same, with --json: fails the test unless it ends with status 0 and says JSON.
Json run_json(std::vector<std::string> arguments);

/// A small checkpoint without variants: tests/goldens/plain.
std::string plain();

std::filesystem::path demo_folder();
bool has_demo();

}  // namespace vitrine::testing
