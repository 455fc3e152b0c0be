// SPDX-License-Identifier: MIT
#pragma once

namespace vitrine::internal::cuda {

/// Waits for all work on a GPU, of every stream of this process. False: CUDA refused, for example
/// because another thread records work.
bool wait_for_gpu(int index) noexcept;

}  // namespace vitrine::internal::cuda
