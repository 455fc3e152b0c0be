// SPDX-License-Identifier: MIT
#include "engine/checkpoint/nanogpt.h"

#include <utility>

#include "base/check.h"
#include "engine/checkpoint/config.h"

namespace vitrine::internal {

Config nanogpt_config(const ModelArguments& arguments, const std::string& file) {
  const auto size = [&](const char* name) {
    const auto found = arguments.find(name);
    if (found == arguments.end()) user_error("{}: missing {}: expected a size", file, name);
    return found->second;
  };
  // Compared as they are: a size from a file may exceed an int.
  const auto small = [&](const char* name) {
    constexpr int64_t kMost = 1000;
    const int64_t value = size(name);
    if (value < 1 || value > kMost)
      user_error("{}: {} is {}: expected 1..{}", file, name, value, kMost);
    return static_cast<int>(value);
  };
  Config config;
  config.layers = small("n_layer");
  config.heads = small("n_head");
  config.width = size("n_embd");
  config.context = size("block_size");
  config.vocab = size("vocab_size");
  config.inner = config.width > 0 && config.width < int64_t{1} << 40 ? 4 * config.width : 0;
  config.activation = "gelu";
  config.tied_unembedding = true;
  check_config(config, file);
  return config;
}

bool nanogpt_without_biases(const ModelArguments& arguments) {
  const auto found = arguments.find("bias");
  return found != arguments.end() && found->second == 0;
}

void transpose_linear(std::string_view name, StoredTensor& tensor) {
  const bool linear = name.ends_with(".c_attn.weight") || name.ends_with(".c_proj.weight") ||
                      name.ends_with(".c_fc.weight");
  if (!linear || tensor.shape.rank() != 2) return;
  tensor.shape = Shape{tensor.shape[1], tensor.shape[0]};
  std::swap(tensor.strides[0], tensor.strides[1]);
}

}  // namespace vitrine::internal
