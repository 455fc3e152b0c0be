// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

// Which file of a folder holds the weights, and what it is.

namespace vitrine::internal {

enum class Format { kSafetensors, kTorch, kLlmc, kGguf, kTensorflow };

/// By content: names say little (both pytorch_model.bin and llm.c's files end in .bin). Throws
/// Error (user) for a file that is known to be something else, by what it is.
Format checkpoint_format(const std::filesystem::path& file);

/// `path` if it is a file; in a folder the first of kCheckpointFiles, or the only file of
/// llm.c's, of GGUF, or, beside hparams.json, of TensorFlow's index. Throws Error (user) with what
/// is there instead.
std::filesystem::path find_checkpoint(const std::filesystem::path& path);

}  // namespace vitrine::internal
