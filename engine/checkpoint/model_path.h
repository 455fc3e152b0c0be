// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string_view>

#include "vitrine/checkpoint/model_cache.h"

namespace vitrine::internal {

/// What a user means by the name of a model:
///   - a directory or a file that exists: itself;
///   - "demo": the model that comes with Vitrine (VITRINE_DEMO_MODEL names another);
///   - "gpt2", "openai-community/gpt2": that repository's snapshot in the Hugging Face cache.
///   - "gpt2@REVISION": another revision than main, by branch, tag, commit or its beginning.
///   OpenAI's models and distilgpt2 are
///     found under both their old bare name and their organisation's.
/// Never reaches the network. Throws Error (user) listing where it looked.
std::filesystem::path resolve_model(std::string_view name);

/// The same for an adapter's folder; empty for an empty name.
std::filesystem::path resolve_adapter(const std::filesystem::path& name);

}  // namespace vitrine::internal
