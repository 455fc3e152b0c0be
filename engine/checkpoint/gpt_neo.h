// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "engine/checkpoint/named_tensor.h"
#include "vitrine/config.h"

// GPT-Neo is GPT-2 with other names, attention whose scores are not scaled, queries, keys and
// values in matrices of their own without biases, [out, in], and in some layers attention to the
// nearest positions alone.

namespace vitrine::internal {

/// A config.json of GPT-Neo as that of the GPT-2 which computes the same, with GPT-Neo's defaults.
/// `windows` becomes Config::windows. Adds a line to `notes`. Throws Error (user).
Json gpt2_config_of_neo(const Json& json, const std::string& file, std::vector<int64_t>& windows,
                        std::vector<std::string>& notes);

/// GPT-Neo's parameters under GPT-2's names and in its layout. Throws Error (user) for one that is
/// missing or of another shape; `path` is what errors call the checkpoint.
void rename_neo(NamedTensors& tensors, const Config& config, const std::string& path);

}  // namespace vitrine::internal
