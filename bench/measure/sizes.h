// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "vitrine/config.h"

namespace vitrine::bench {

/// The published sizes of GPT-2, by Hugging Face's names: "gpt2", "gpt2-medium", "gpt2-large",
/// "gpt2-xl", "distilgpt2".
const std::vector<std::string>& size_names();
/// Throws Error (user) naming the known ones.
Config size_config(const std::string& name);

}  // namespace vitrine::bench
