// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>

#include "vitrine/config.h"
#include "vitrine/tensor.h"

namespace vitrine::internal {

enum class ParameterKind : uint8_t {
  kTable,   ///< [tokens or positions, D]
  kMatrix,  ///< [in, out]
  kScale,   ///< of a layernorm
  kBias,    ///< of a matrix or a layernorm
};

struct Parameter {
  std::string name;  ///< Hugging Face's, without "transformer.": "h.3.attn.c_attn.weight"
  Shape shape;       ///< as there
  ParameterKind kind = ParameterKind::kMatrix;
  int layer = -1;  ///< -1 outside the blocks
  int index = 0;   ///< among those of its block, or among those outside the blocks
};

inline constexpr const char* kTokenEmbedding = "wte.weight";
inline constexpr const char* kPositionEmbedding = "wpe.weight";
inline constexpr const char* kUnembedding = "lm_head.weight";
inline constexpr const char* kUnembeddingBias = "lm_head.bias";

/// The parameters of a block, named without "h.3.".
inline constexpr int kBlockParameters = 12;
std::array<Parameter, kBlockParameters> block_parameters(const Config& config);

/// Every parameter of a GPT-2, in the order in which they are stored: the embeddings, block by
/// block, the final layernorm, the unembedding only if it is not tied, and its
/// bias if it has one.
void for_each_parameter(const Config& config, const std::function<void(const Parameter&)>& see);

}  // namespace vitrine::internal
