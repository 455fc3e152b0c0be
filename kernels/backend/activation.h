// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace vitrine::internal {

/// The activation functions of GPT-2 checkpoints, by the names of Hugging Face's
/// `activation_function`.
enum class Activation : uint8_t {
  kNone,
  kGeluTanh,   ///< "gelu_new", "gelu_pytorch_tanh", "gelu_fast": 0.5 x (1 + tanh(sqrt(2/pi) (x +
               ///< 0.044715 x^3)))
  kGeluErf,    ///< "gelu": x Phi(x)
  kGeluQuick,  ///< "quick_gelu": x sigmoid(1.702 x)
  kRelu,       ///< "relu"
  kSilu,       ///< "silu", "swish"
  kTanh,       ///< "tanh"
};

}  // namespace vitrine::internal
