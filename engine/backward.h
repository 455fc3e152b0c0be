// SPDX-License-Identifier: MIT
#pragma once

#include <span>

#include "engine/forward.h"
#include "engine/gradient_memory.h"
#include "vitrine/gradients.h"

namespace vitrine::internal {

/// Everything that one backward pass works on.
struct BackwardPass {
  ForwardPass& forward;  ///< completed forward pass, with saved activations
  HookRun& gradients;    ///< keeps requested gradients, then applies the edits' adjoints
  HookRun& seeds;        ///< what targets at sites add
  GradientMemory& grad;
  Linearised linearised;
  std::span<const LogitTerm>
      terms;  ///< what targets read of logits; rows of the packed batch, ascending
  const float* references = nullptr;  ///< of the terms, in the backend's memory
  std::span<double> values;           ///< [terms] of the result
  PassPoint last;   ///< of the sites that targets read: here the backward pass begins
  PassPoint first;  ///< earliest site with a requested gradient; the pass stops there
};

/// The backward pass of GPT-2: forward.cc's mirror, bottom to top, on every backend.
void backward(BackwardPass& pass);

}  // namespace vitrine::internal
