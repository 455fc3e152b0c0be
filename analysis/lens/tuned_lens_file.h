// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "vitrine/analysis/tuned_lens.h"
#include "vitrine/config.h"

namespace vitrine::internal {

/// The model that translators are read for.
struct LensModel {
  Config config;
  std::string name;
  std::function<std::string()> unembedding_hash, package_hash;  ///< unembedding_hash.h's, if needed
};

/// As load_tuned_lens. The files come from strangers, and reading them needs no weights: the fuzzer
/// links neither the engine nor its kernels.
TunedLens read_tuned_lens(const std::filesystem::path& folder, const LensModel& model);

}  // namespace vitrine::internal
