// SPDX-License-Identifier: MIT
// The program that `vitrine bench` starts: the same arguments without the word `bench`.

#include <vector>

#include "cli/core/program.h"

int main(int argc, char** argv) {
  std::vector<const char*> words = {"vitrine", "bench"};
  words.insert(words.end(), argv + (argc > 0), argv + argc);
  return vitrine::cli::run_program(static_cast<int>(words.size()), words.data(),
                                   vitrine::cli::add_bench);
}
