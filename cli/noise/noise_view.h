// SPDX-License-Identifier: MIT
#pragma once

#include <map>
#include <string>
#include <vector>

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

/// One prompt's answer in JSON, every repetition included, without prompt and settings.
JsonValue noise_json(const Noise& noise, const Names& names);

/// Writes one .safetensors file. For prompt i: ids.i [T] i32, continuation.i [C] i32, log_prob.i
/// and rank.i [1] f64 without noise; and for each noise masked.i.KIND [R] i32, log_probs.i.KIND and
/// ranks.i.KIND [R] f64, cosines.i.KIND and ckas.i.KIND [R, L+1] f64.
void save_noise(const std::vector<Noise>& results, const std::string& path,
                const std::map<std::string, std::string>& metadata);

}  // namespace vitrine::cli
