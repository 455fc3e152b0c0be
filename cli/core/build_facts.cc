// SPDX-License-Identifier: MIT
#include "cli/core/build_facts.h"

#include <fmt/format.h>
#include <vitrine_commit.h>  // made by cmake/VitrineCommit.cmake

#include "vitrine/version.h"

namespace vitrine::cli {

BuildFacts build_facts() {
  BuildFacts build;
  build.version = VITRINE_VERSION;
  build.commit = VITRINE_COMMIT;
#ifdef __clang__
  build.compiler = "Clang " __clang_version__;
#else
  build.compiler = "GCC " __VERSION__;
#endif
  build.toolkit = VITRINE_CUDA_TOOLKIT;
  build.architectures = VITRINE_CUDA_CODE;
  return build;
}

std::string version_text(const BuildFacts& build) {
  std::string backends = "cpu";
  if (!build.toolkit.empty())
    backends += fmt::format(", cuda ({} for {})", build.toolkit, build.architectures);
  return fmt::format("vitrine {}\ncommit    {}\ncompiler  {}\nbackends  {}", build.version,
                     build.commit, build.compiler, backends);
}

}  // namespace vitrine::cli
