// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "engine/checkpoint/files.h"
#include "vitrine/config.h"

// Checkpoints as nanoGPT's train.py saves them: ckpt.pt with "model", "model_args" and the state of
// the training. Names are GPT-2's; weights are those of torch.nn.Linear, [out, in].

namespace vitrine::internal {

/// What `arguments`, the file's model_args, say. nanoGPT's activation is torch.nn.GELU(). Throws
/// Error (user) for a size that is missing; `file` is what errors call the arguments.
Config nanogpt_config(const ModelArguments& arguments, const std::string& file);

/// Whether biases were left out (bias=False), layernorms' included: they are zero.
bool nanogpt_without_biases(const ModelArguments& arguments);

/// Sees the weights of the linear layers, by their names without a prefix, as [in, out].
void transpose_linear(std::string_view name, StoredTensor& tensor);

}  // namespace vitrine::internal
