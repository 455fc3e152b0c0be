// SPDX-License-Identifier: MIT
#pragma once

#include <string>

namespace vitrine::cli {

/// What this program was built from, and by what.
struct BuildFacts {
  std::string version, commit;  ///< "0.1.0"; "faec1ca9d2f1", or "unknown" outside a repository
  std::string compiler;         ///< "GCC 12.2.0"
  std::string toolkit;          ///< CUDA's version, "12.8"; empty in a build without it
  std::string architectures;    ///< of GPUs that it has code for, as CMake lists them
};

BuildFacts build_facts();
/// For --version: "vitrine VERSION", then a line for the commit, the compiler and the backends.
std::string version_text(const BuildFacts& build);

}  // namespace vitrine::cli
