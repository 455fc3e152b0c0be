#pragma once

#include "tests/cuda_on_host/cuda_on_host.h"

namespace vitrine::cuda_on_host {

/// Runs all blocks of a grid, in ascending or descending order, lanes and warps alike.
void run_blocks(const Shape& shape, const std::function<void()>& thread, LaneOrder order);

}  // namespace vitrine::cuda_on_host
