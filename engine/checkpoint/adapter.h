// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>

#include "engine/checkpoint/named_tensor.h"
#include "vitrine/config.h"

// LoRA adapters as PEFT saves them: adapter_config.json and adapter_model.safetensors (or .bin).

namespace vitrine::internal {

inline constexpr const char* kAdapterConfig = "adapter_config.json";

/// Whether `folder` holds an adapter.
bool is_adapter(const std::filesystem::path& folder);
/// The model that it was trained on, as its configuration names it; empty if it does not.
std::string base_of_adapter(const std::filesystem::path& folder);

/// Merges the adapter of `folder` into the parameters of a checkpoint: W + (alpha / r) B A, or
/// alpha / sqrt(r); whole parameters (modules_to_save, bias) take the place of the model's. Where
/// it changes the token embedding or the unembedding alone, they are no longer tied. The sums are
/// made when a parameter is read. Gives a line on what was merged.
///
/// Throws Error (user), by name, for whatever of the adapter cannot be merged exactly.
std::string merge_adapter(const std::filesystem::path& folder, NamedTensors& tensors,
                          Config& config);

}  // namespace vitrine::internal
