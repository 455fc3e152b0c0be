// SPDX-License-Identifier: MIT
#pragma once

#include <optional>

#include "vitrine/model.h"

// Results that stay on a GPU (Residence::kDevice), for programs that read them with streams of
// their own.

namespace vitrine {

/// Which GPU computes the model's passes, as CUDA numbers them; nullopt: a CPU does.
std::optional<int> gpu_of(const Model& model);

/// Waits until the results of the passes so far are complete: other streams than the model's may
/// then read them.
void finish_passes(const Model& model);

/// Waits for all work on a GPU, of every stream of this process: results that other streams read
/// may then be given up, and with them their memory, which later passes write to. False: CUDA
/// refused, and they must be kept.
bool wait_for_gpu(int gpu) noexcept;

}  // namespace vitrine
