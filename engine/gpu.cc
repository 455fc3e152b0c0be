// SPDX-License-Identifier: MIT
#include "vitrine/gpu.h"

#include "engine/model_state.h"
#include "kernels/cuda/runtime/wait.h"

namespace vitrine {

std::optional<int> gpu_of(const Model& model) { return internal::state_of(model).gpu; }

void finish_passes(const Model& model) {
  internal::Backend& backend = *internal::state_of(model).backend;
  const auto lock = backend.exclusive();
  backend.synchronize();
}

bool wait_for_gpu(int gpu) noexcept { return internal::cuda::wait_for_gpu(gpu); }

}  // namespace vitrine
