// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "cli/core/terminal.h"
#include "cli/core/tokens.h"
#include "vitrine/analysis/noise.h"

namespace vitrine::cli {
using namespace internal;

/// What noise is drawn with.
struct NoisePicture {
  const Noise& noise;
  const Names& names;
  const Terminal& out;
};

/// A line a noise: what became of the continuation and of the last layer; then spans against
/// scattered tokens.
std::string draw_noise(const NoisePicture& picture);
/// The first `count` noised prompts of each noise.
std::string draw_noised_prompts(const NoisePicture& picture, size_t count);
/// A line a layer, two columns a noise: cosine and CKA.
std::string draw_noise_layers(const NoisePicture& picture);

}  // namespace vitrine::cli
